// Profiles for a server that keeps them: Pyroscope's ingestion, or Parca's store.
#ifndef MEMTRACE_TOOLS_PUSH_PUSH_H_
#define MEMTRACE_TOOLS_PUSH_PUSH_H_

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "tools/analysis/report.h"
#include "tools/common/result.h"
#include "tools/push/http_post.h"
#include "tools/render/metric.h"

namespace memtrace::tools {

inline constexpr char kPushTokenVariable[] = "MEMTRACE_PUSH_TOKEN";

struct PushOrder {
  // http(s)://HOST[:PORT][PATH][?QUERY], without a user's name. A path that ends in /profiles/writeraw is a Parca
  // server's; any other is spoken to as Pyroscope, whose path /ingest is put in where there is none.
  std::string url;
  std::vector<std::string> headers;                         // "Name: value"
  std::vector<std::pair<std::string, std::string>> labels;  // beside those of the recording
  std::chrono::seconds patience{60};

  bool wanted() const { return !url.empty(); }
};

// Empty, or what cannot be in an order's URL.
std::string UrlProblem(const std::string& url);

// One header, or with a leading "@" those of a file, one per line; empty lines and lines that begin with # are none.
Result<std::vector<std::string>> ReadHeaders(const std::string& text_or_file);

// "NAME=VALUE".
Result<std::pair<std::string, std::string>> ParseLabel(const std::string& text);

// The name and the labels under which a recording is kept.
struct Series {
  std::string name;  // of the executable
  std::vector<std::pair<std::string, std::string>> labels;
};
Series SeriesOf(const Report& report, const PushOrder& order);

// The request that brings `pprof`, a gzipped profile, to the server. The moment is when the recording stood as it is.
HttpRequest PushRequest(const PushOrder& order, const Series& series, uint64_t moment_ns, std::string pprof);

// Sends the profile of a recording. Returns under what it is kept, for people.
Result<std::string> Push(const Report& report, Metric metric, const PushOrder& order);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_PUSH_PUSH_H_
