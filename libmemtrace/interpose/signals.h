// The signal that takes snapshots, shared with the program.
#ifndef MEMTRACE_INTERPOSE_SIGNALS_H_
#define MEMTRACE_INTERPOSE_SIGNALS_H_

namespace memtrace::interpose {

// Installs our handler for `signal`; 0: none. What the program had, or installs later with sigaction() or
// signal(), is remembered and runs after ours.
void TakeOverSignal(int signal);
// Installs what the program believes to be installed.
void GiveBackSignal();

}  // namespace memtrace::interpose

#endif  // MEMTRACE_INTERPOSE_SIGNALS_H_
