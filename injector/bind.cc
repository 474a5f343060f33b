#include "injector/bind.h"

#include <algorithm>
#include <cstddef>
#include <unordered_map>

namespace memtrace::injector {
namespace {

struct Function {
  uint64_t ours = 0;
  uint64_t real = 0;  // 0: no module has it
  uint64_t real_value_at = 0;
};

// The value of a symbol before we changed it.
uint64_t ValueBefore(const ProcessMemory& memory, const format::ControlBlock& block, uint64_t value_at) {
  for (uint32_t i = 0; i < std::min(block.patch_count, format::kMostPatches); ++i) {
    if (block.patches[i].address == value_at) return block.patches[i].before;
  }
  uint64_t value = 0;
  memory.ReadObject(value_at, &value);
  return value;
}

// What the program would call without the library: the first definition in the order of lookup. Of a preloaded library,
// the first one behind it.
std::unordered_map<std::string, Function> Functions(const ProcessMemory& memory, const LoadedModules& modules,
                                                    const LibraryInTarget& library) {
  std::unordered_map<std::string, Function> functions;
  modules.modules[library.module].ForEachSymbol(
      [&](const std::string& name, const RemoteSymbol& symbol) { functions[name].ours = symbol.address; });
  for (size_t i = library.block.loaded_late != 0 ? 0 : library.module + 1; i < modules.modules.size(); ++i) {
    if (i == library.module) continue;
    const RemoteModule& module = modules.modules[i];
    module.ForEachSymbol([&](const std::string& name, const RemoteSymbol& symbol) {
      const auto found = functions.find(name);
      if (found == functions.end() || found->second.real != 0) return;
      found->second.real = module.bias() + ValueBefore(memory, library.block, symbol.value_at);
      found->second.real_value_at = symbol.value_at;
    });
  }
  return functions;
}

bool Make(const ProcessMemory& memory, const Change& change) {
  uint64_t now = 0;
  return memory.ReadObject(change.address, &now) && now == change.from &&
         memory.Write(change.address, &change.to, sizeof(change.to));
}

}  // namespace

Binding PlanBinding(const ProcessMemory& memory, const LoadedModules& modules, const LibraryInTarget& library,
                    bool bound) {
  Binding binding;
  const auto functions = Functions(memory, modules, library);
  for (size_t i = 0; i < modules.modules.size(); ++i) {
    if (i == library.module) continue;
    const RemoteModule& module = modules.modules[i];
    module.ForEachSlot([&](const std::string& symbol, uint64_t slot) {
      const auto found = functions.find(symbol);
      if (found == functions.end() || found->second.real == 0) return;
      const Function& function = found->second;
      binding.slots.push_back(bound ? Change{slot, function.real, function.ours}
                                    : Change{slot, function.ours, function.real});
    });
  }
  if (library.block.loaded_late == 0) return binding;  // it is found before the others anyway
  for (const auto& [name, function] : functions) {
    if (function.real == 0) continue;
    const uint64_t value = ValueBefore(memory, library.block, function.real_value_at);
    const uint64_t bias = function.real - value;
    binding.symbols.push_back(bound ? Change{function.real_value_at, value, function.ours - bias}
                                    : Change{function.real_value_at, function.ours - bias, value});
  }
  return binding;
}

size_t ApplyBinding(const ProcessMemory& memory, const Binding& binding, const LibraryInTarget& library, bool bound) {
  format::ControlBlock block = library.block;
  if (bound) {
    // The library must know what the symbols were before it looks at one.
    block.patch_count = 0;
    for (const Change& symbol : binding.symbols) {
      if (block.patch_count < format::kMostPatches) block.patches[block.patch_count++] = {symbol.address, symbol.from};
    }
    memory.Write(library.block_at + offsetof(format::ControlBlock, patches), block.patches, sizeof(block.patches));
    memory.Write(library.block_at + offsetof(format::ControlBlock, patch_count), &block.patch_count,
                 sizeof(block.patch_count));
  }
  size_t changed = 0;
  for (const Change& slot : binding.slots) changed += Make(memory, slot) ? 1 : 0;
  size_t symbols = 0;
  for (const Change& symbol : binding.symbols) {
    if (symbols++ < format::kMostPatches) Make(memory, symbol);
  }
  return changed;
}

}  // namespace memtrace::injector
