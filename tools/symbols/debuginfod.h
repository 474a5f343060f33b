// Debug information from the servers that DEBUGINFOD_URLS names.
#ifndef MEMTRACE_TOOLS_SYMBOLS_DEBUGINFOD_H_
#define MEMTRACE_TOOLS_SYMBOLS_DEBUGINFOD_H_

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace memtrace::tools {

// elfutils' client, which keeps what it fetched, and what no server has, under XDG_CACHE_HOME/debuginfod_client. Loaded
// at its first use: it brings curl and twenty more libraries. Waiting is bounded; a server that keeps us waiting is not
// asked again.
class Debuginfod {
 public:
  // Not `enabled`, nothing is ever asked or loaded. `patience` is the time from asking until the first byte.
  explicit Debuginfod(bool enabled, std::chrono::milliseconds patience = std::chrono::seconds(10));
  ~Debuginfod();

  // The path of a local copy; empty if no server has it. `build_id` in hexadecimal.
  std::string FindBinary(const std::string& build_id);
  std::string FindDebugFile(const std::string& build_id);
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  struct Client;
  enum class What { kBinary, kDebugFile };
  std::string Find(What what, const std::string& build_id);
  bool Load();

  bool enabled_;
  std::chrono::milliseconds patience_;
  std::unique_ptr<Client> client_;
  std::vector<std::string> warnings_;
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_SYMBOLS_DEBUGINFOD_H_
