#include "tools/symbols/debuginfod.h"

#include <dlfcn.h>
#include <elfutils/debuginfod.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "tools/common/progress.h"

namespace memtrace::tools {
namespace {

using Clock = std::chrono::steady_clock;

// For all files of one report together. DEBUGINFOD_MAXTIME (seconds for one file), where the user sets it, takes its
// place.
constexpr std::chrono::seconds kWholePatience(60);

bool UserLimitsTime() { return std::getenv(DEBUGINFOD_MAXTIME_ENV_VAR) != nullptr; }

}  // namespace

struct Debuginfod::Client {
  // A client of the library; its functions by their own names.
  debuginfod_client* handle = nullptr;
  decltype(&debuginfod_find_executable) find_binary = nullptr;
  decltype(&debuginfod_find_debuginfo) find_debug_file = nullptr;
  decltype(&debuginfod_end) end = nullptr;
  Clock::duration patience{};
  Clock::time_point asked;
  Clock::duration spent{};
  bool timed_out = false;
  static inline Client* asking = nullptr;  // for the callback

  // Called again and again while the library waits. Anything but 0 ends it.
  int OnProgress(bool answered) {
    const Clock::duration waited = Clock::now() - asked;
    const bool silent = !answered && waited > patience;
    timed_out = silent || (!UserLimitsTime() && spent + waited > kWholePatience);
    return timed_out ? 1 : 0;
  }
};

Debuginfod::Debuginfod(bool enabled, std::chrono::milliseconds patience) : enabled_(enabled), patience_(patience) {}

Debuginfod::~Debuginfod() {
  if (client_ != nullptr && client_->handle != nullptr) client_->end(client_->handle);
}

bool Debuginfod::Load() {
  if (client_ != nullptr) return client_->handle != nullptr;
  client_ = std::make_unique<Client>();
  client_->patience = patience_;
  void* library = dlopen(DEBUGINFOD_SONAME, RTLD_LAZY | RTLD_LOCAL);  // for the rest of the process
  const auto find = [library](const char* name, auto* function) {
    *function = library != nullptr ? reinterpret_cast<std::remove_pointer_t<decltype(function)>>(dlsym(library, name))
                                   : nullptr;
    return *function != nullptr;
  };
  decltype(&debuginfod_begin) begin = nullptr;
  decltype(&debuginfod_set_progressfn) set_progress = nullptr;
  const bool whole = find("debuginfod_begin", &begin) && find("debuginfod_set_progressfn", &set_progress) &&
                     find("debuginfod_find_executable", &client_->find_binary) &&
                     find("debuginfod_find_debuginfo", &client_->find_debug_file) &&
                     find("debuginfod_end", &client_->end);
  if (whole) client_->handle = begin();
  if (client_->handle == nullptr) {
    warnings_.push_back("DEBUGINFOD_URLS is set, but " DEBUGINFOD_SONAME " cannot be used: install libdebuginfod1");
    enabled_ = false;
    return false;
  }
  set_progress(client_->handle,
               [](debuginfod_client*, long, long total) { return Client::asking->OnProgress(total > 0); });
  return true;
}

std::string Debuginfod::Find(What what, const std::string& build_id) {
  if (!enabled_ || build_id.empty() || !Load()) return {};
  const ProgressStage progress("asking debuginfod servers");
  client_->asked = Clock::now();
  Client::asking = client_.get();
  char* path = nullptr;
  const auto find = what == What::kBinary ? client_->find_binary : client_->find_debug_file;
  const auto* id = reinterpret_cast<const unsigned char*>(build_id.c_str());
  const int fd = find(client_->handle, id, 0, &path);
  client_->spent += Clock::now() - client_->asked;
  if (fd >= 0) close(fd);
  const std::string found = fd >= 0 && path != nullptr ? path : "";
  std::free(path);  // NOLINT: the library allocates with malloc
  if (fd < 0 && (client_->timed_out || fd != -ENOENT)) {
    // One that does not answer now would keep every further module waiting.
    warnings_.push_back(fmt::format("the servers in DEBUGINFOD_URLS were given up: {}",
                                    client_->timed_out ? "no answer in time" : std::strerror(-fd)));
    enabled_ = false;
  }
  return found;
}

std::string Debuginfod::FindBinary(const std::string& build_id) { return Find(What::kBinary, build_id); }
std::string Debuginfod::FindDebugFile(const std::string& build_id) { return Find(What::kDebugFile, build_id); }

}  // namespace memtrace::tools
