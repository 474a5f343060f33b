// Copies the unwinder's module table into the recording, so that readers can name the frames.
#ifndef MEMTRACE_CORE_MODULE_RECORDS_H_
#define MEMTRACE_CORE_MODULE_RECORDS_H_

namespace memtrace::core {

// Records modules that the unwinder has met since the last call. One comparison if there are none.
void NoteModules();

// After a dlclose: notes which modules are gone.
void NoteUnloading();

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_MODULE_RECORDS_H_
