#include "libmemtrace/core/module_records.h"

#include "libmemtrace/core/process.h"
#include "libmemtrace/unwind/modules.h"

namespace memtrace::core {
namespace {

format::Module* RecordAt(uint32_t index) {
  return g_process.recording.At<format::Module, format::ChunkKind::kModule>(index);
}

void Describe(const unwind::Module& module, format::Module* record) {
  record->start = module.start;
  record->end = module.end;
  record->bias = module.bias;
  record->loaded_ns = rt::NowNanoseconds(rt::Clock::kRealtime);
  record->build_id_bytes = module.build_id_bytes;
  for (uint32_t i = 0; i < module.build_id_bytes; ++i) record->build_id[i] = module.build_id[i];
  rt::Text path(module.path);
  if (path.size > sizeof(record->path)) path = path.From(path.size - sizeof(record->path));
  for (size_t i = 0; i < path.size; ++i) record->path[i] = path[i];
  record->path_bytes = static_cast<uint32_t>(path.size);
}

}  // namespace

void NoteModules() {
  Process& p = g_process;
  format::Header& h = p.recording.header();
  const uint32_t known = unwind::ModuleCount();
  if (Load(h.module_count) >= known) return;
  const rt::LockHolder holder(&p.module_lock);
  if (!holder.held()) return;
  for (uint32_t i = h.module_count; i < known; ++i) {
    if (i / format::kModulesPerChunk >= p.recording.ChunkCount(format::ChunkKind::kModule) &&
        p.recording.AddChunk(format::ChunkKind::kModule) < 0) {
      return;
    }
    Describe(unwind::ModuleAt(i), RecordAt(i));
    Store(h.module_count, i + 1, std::memory_order_release);
  }
}

void NoteUnloading() {
  Process& p = g_process;
  if (p.mode.load(std::memory_order_acquire) != Mode::kOn || t_state.in_memtrace != 0 || InForkedChild()) return;
  t_state.in_memtrace = 1;
  unwind::ForgetUnloadedModules();
  const uint64_t now = rt::NowNanoseconds(rt::Clock::kRealtime);
  const uint32_t recorded = Load(p.recording.header().module_count, std::memory_order_acquire);
  for (uint32_t i = 0; i < recorded; ++i) {
    format::Module* record = RecordAt(i);
    if (record->unloaded_ns == 0 && unwind::ModuleAt(i).closed.load(std::memory_order_acquire)) {
      Store(record->unloaded_ns, now, std::memory_order_release);
    }
  }
  t_state.in_memtrace = 0;
}

}  // namespace memtrace::core
