/* A library that does nothing: its presence in /proc/PID/maps is what tests look for. */
extern int memtrace_preload_marker;
int memtrace_preload_marker = 1;
