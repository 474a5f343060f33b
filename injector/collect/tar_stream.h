// Regular files out of the tar stream that a program writes to its standard output.
#ifndef MEMTRACE_INJECTOR_COLLECT_TAR_STREAM_H_
#define MEMTRACE_INJECTOR_COLLECT_TAR_STREAM_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace memtrace::injector {

// `place` is asked for each regular file, by its name in the archive, where to put it: the path of a new file, or ""
// to pass it over. Links, devices and everything else are passed over. Stops when more than `most_bytes` would be
// written. False: the program is not there, failed, or wrote no archive. `*error`: 0, or an error number of the file
// that could not be written, of which nothing is left, and with which it stopped; EPIPE: the archive ended in the
// middle of it.
bool ReadTar(const std::vector<std::string>& command, uint64_t most_bytes,
             const std::function<std::string(const std::string&)>& place, int* error = nullptr);

// The output of a program, at most `most_bytes`. False: it is not there or failed.
bool ReadOutput(const std::vector<std::string>& command, uint64_t most_bytes, std::string* output);

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_COLLECT_TAR_STREAM_H_
