#include "tools/symbols/module_symbols.h"

#include <elfutils/libdw.h>
#include <elfutils/libdwelf.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstring>

#include "tools/common/progress.h"
#include "tools/common/quantity.h"
#include "tools/symbols/demangle.h"

namespace memtrace::tools {
namespace {

// Not from the running system: the module is given by its file.
int FindNoElf(Dwfl_Module*, void**, const char*, Dwarf_Addr, char**, Elf**) { return -1; }

}  // namespace

ModuleSymbols::ModuleSymbols(const std::string& path, const std::string& build_id, DebugFiles* files) : files_(*files) {
  std::string problem;
  binary_ = files_.FindBinary(path, build_id, &problem);
  if (!problem.empty()) warnings_.push_back(std::move(problem));
  if (!binary_) return;
  debug_file_ = files_.FindDebugFile(*binary_, path, &warnings_);
  fingerprint_ = binary_->Fingerprint();
  if (debug_file_) fingerprint_ += '\n' + debug_file_->Fingerprint();
}

void ModuleSymbols::Load() {
  loaded_ = true;
  if (!binary_) return;
  const ProgressStage progress("reading debug information");
  callbacks_.find_elf = FindNoElf;
  callbacks_.find_debuginfo = FindDebugInfo;
  callbacks_.section_address = dwfl_offline_section_address;
  dwfl_.reset(dwfl_begin(&callbacks_));
  const std::string& path = binary_->path();
  const int fd = binary_->ReleaseFd();
  // Base 0 with add_p_vaddr: module addresses are the addresses in the ELF file. Owns fd on success.
  module_ = dwfl_ ? dwfl_report_elf(dwfl_.get(), path.c_str(), path.c_str(), fd, 0, true) : nullptr;
  if (module_ == nullptr) {
    close(fd);
    warnings_.push_back(fmt::format("no names for {}: {}", path, dwfl_errmsg(-1)));
    return;
  }
  dwfl_report_end(dwfl_.get(), nullptr, nullptr);
  void** user_data = nullptr;
  dwfl_module_info(module_, &user_data, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr);
  if (user_data != nullptr) *user_data = this;
  Dwarf_Addr bias = 0;
  // Also asks for the debug file. Without it there may be symbols still.
  if (dwfl_module_getdwarf(module_, &bias) != nullptr) {
    const std::string& described = debug_file_ ? debug_file_->path() : path;
    std::unique_ptr<SplitPackage> package = SplitPackage::Open(path + ".dwp");
    if (package == nullptr) package = SplitPackage::Open(described + ".dwp");
    debug_info_.emplace(module_, std::move(package));
  }
  symbols_.emplace(module_);
}

// libdwfl's call for a debug file, and, with the name in its alternate link, for what that one refers to.
int ModuleSymbols::FindDebugInfo(Dwfl_Module*, void** user_data, const char*, Dwarf_Addr, const char*, const char* link,
                                 GElf_Word, char** found_name) {
  auto* self = static_cast<ModuleSymbols*>(*user_data);
  const std::string& alternate = (self->debug_file_ ? *self->debug_file_ : *self->binary_).alternate_link().name;
  if (link != nullptr && !alternate.empty() && alternate == link) return self->OpenAlternate();
  if (!self->debug_file_) return -1;
  *found_name = strdup(self->debug_file_->path().c_str());
  return self->debug_file_->ReleaseFd();
}

int ModuleSymbols::OpenAlternate() {
  const ElfFile& referring = debug_file_ ? *debug_file_ : *binary_;
  std::optional<ElfFile> file = files_.FindAlternate(referring);
  if (file) return file->ReleaseFd();
  complete_ = false;
  warnings_.push_back(
      fmt::format("names for {} are incomplete: its debug information refers to {} (build-id {}), which "
                  "is not there; give its directory with --debug-dir",
                  binary_->path(), referring.alternate_link().name, referring.alternate_link().build_id));
  return -1;
}

std::vector<SourceFrame> ModuleSymbols::Resolve(uint64_t offset) {
  if (!loaded_) Load();
  std::vector<SourceFrame> frames;
  if (debug_info_) {
    frames = debug_info_->Resolve(offset);
    if (complete_ && !debug_info_->missing_split_file().empty()) {
      complete_ = false;
      warnings_.push_back(
          fmt::format("inlined functions of {} are missing: its debug information is in {}, which is not "
                      "there",
                      binary_->path(), debug_info_->missing_split_file()));
    }
  }
  if (!symbols_ || (!frames.empty() && !frames.back().function.empty())) return frames;
  const char* name = symbols_->Find(offset);
  if (name == nullptr) return frames;
  if (frames.empty()) frames.emplace_back();
  frames.back().function = Demangle(name);
  return frames;
}

}  // namespace memtrace::tools
