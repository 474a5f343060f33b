#include "tools/symbols/symbolizer.h"

#include <string_view>
#include <utility>

#include "tools/symbols/module_symbols.h"
#include "tools/symbols/symbol_cache.h"

namespace memtrace::tools {

struct Symbolizer::Module {
  Module(const std::string& path, const std::string& build_id, const SymbolOptions& options, DebugFiles* files)
      : symbols(path, build_id, files), cache(options.cache_dir, build_id, symbols.fingerprint()) {}

  ModuleSymbols symbols;
  SymbolCache cache;
  size_t warned = 0;  // of the warnings, those that were collected
};

Symbolizer::Symbolizer(SymbolOptions options) : options_(std::move(options)), files_(options_) {}

Symbolizer::~Symbolizer() {
  for (const auto& [key, module] : modules_) {
    if (module->symbols.complete()) module->cache.Save();
  }
}

Symbolizer::Module& Symbolizer::Open(const std::string& path, const std::string& build_id) {
  std::unique_ptr<Module>& module = modules_[path + '\0' + build_id];
  if (module == nullptr) {
    module = std::make_unique<Module>(path, build_id, options_, &files_);
    CollectWarnings(module->symbols.warnings(), &module->warned);
    CollectWarnings(files_.warnings(), &files_warned_);
  }
  return *module;
}

void Symbolizer::CollectWarnings(const std::vector<std::string>& from, size_t* collected) {
  for (; *collected < from.size(); ++*collected) warnings_.push_back(from[*collected]);
}

std::vector<SourceFrame> Symbolizer::Resolve(const std::string& path, const std::string& build_id, uint64_t offset) {
  // Pseudo files ("[vdso]") and memory without a file have no symbols on disk.
  if (!options_.enabled || path.empty() || path[0] != '/') return {};
  static constexpr std::string_view kDeleted = " (deleted)";
  if (path.ends_with(kDeleted)) return Resolve(path.substr(0, path.size() - kDeleted.size()), build_id, offset);
  Module& module = Open(path, build_id);
  if (std::optional<std::vector<SourceFrame>> known = module.cache.Find(offset)) return *std::move(known);
  std::vector<SourceFrame> frames = module.symbols.Resolve(offset);
  CollectWarnings(module.symbols.warnings(), &module.warned);
  if (module.symbols.complete()) module.cache.Add(offset, frames);
  return frames;
}

}  // namespace memtrace::tools
