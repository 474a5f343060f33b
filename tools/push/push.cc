#include "tools/push/push.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string_view>

#include "tools/common/utf8.h"
#include "tools/render/pprof.h"
#include "tools/render/target.h"

namespace memtrace::tools {
namespace {

constexpr std::string_view kParcaPath = "/profiles/writeraw";
constexpr uint64_t kNanosecondsPerSecond = 1'000'000'000;
// A state has no duration. Pyroscope keeps times in steps of ten seconds and wants one of them at least.
constexpr uint64_t kPyroscopeStepSeconds = 10;

bool IsPlain(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || std::strchr("-._", c) != nullptr; }
bool IsControl(char c) { return std::iscntrl(static_cast<unsigned char>(c)) != 0; }

std::string PercentEncoded(std::string_view text) {
  std::string encoded;
  for (const char c : text) encoded += IsPlain(c) ? std::string(1, c) : fmt::format("%{:02X}", static_cast<uint8_t>(c));
  return encoded;
}

// RFC 4648.
std::string Base64(std::string_view bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t j = i; j < i + 3; ++j) group = group << 8 | (j < bytes.size() ? static_cast<uint8_t>(bytes[j]) : 0u);
    for (size_t j = 0; j < 4; ++j) text += j <= bytes.size() - i ? kDigits[group >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

struct Url {
  std::string authority;  // scheme and host
  std::string path;
  std::string query;  // with its "?"
};
Url Split(const std::string& url) {
  const size_t scheme_end = url.find("://");
  const size_t host = scheme_end == std::string::npos ? 0 : scheme_end + 3;
  const size_t path = std::min(url.find_first_of("/?", host), url.size());
  const size_t query = std::min(url.find('?', path), url.size());
  return {url.substr(0, path), url.substr(path, query - path), url.substr(query)};
}

bool IsParca(const std::string& url) { return std::string_view(Split(url).path).ends_with(kParcaPath); }

HttpRequest PyroscopeRequest(const PushOrder& order, const Series& series, uint64_t moment_ns, std::string pprof) {
  std::string name = series.name + "{";
  for (const auto& [key, value] : series.labels) name += (name.back() == '{' ? "" : ",") + key + "=" + value;
  const uint64_t until = moment_ns / kNanosecondsPerSecond;
  const Url url = Split(order.url);
  const std::string path = url.path.empty() || url.path == "/" ? "/ingest" : url.path;
  return {.url = fmt::format("{}{}{}{}name={}&from={}&until={}&format=pprof&spyName=memtrace", url.authority, path,
                             url.query, url.query.empty() ? "?" : "&", PercentEncoded(name + "}"),
                             until - std::min(until, kPyroscopeStepSeconds), until),
          .headers = {"Content-Type: application/octet-stream"},
          .body = std::move(pprof)};
}

HttpRequest ParcaRequest(const PushOrder& order, const Series& series, const std::string& pprof) {
  using Json = nlohmann::json;
  Json labels = Json::array();
  const auto add = [&labels](const std::string& name, const std::string& value) {
    labels.push_back(Json::object({{"name", name}, {"value", value}}));
  };
  add("__name__", "memory");
  add("job", series.name);
  for (const auto& [name, value] : series.labels) add(name, value);
  Json entry = Json::object({{"labels", Json::object({{"labels", std::move(labels)}})}});
  entry["samples"] = Json::array({Json::object({{"rawProfile", Base64(pprof)}})});
  Json all;
  all["series"] = Json::array({std::move(entry)});
  return {.url = order.url, .headers = {"Content-Type: application/json"}, .body = all.dump()};
}

// What the server has to say, in a line.
std::string FirstLine(const std::string& text) {
  constexpr size_t kCharacters = 200;
  std::string line = ValidUtf8(text.substr(0, text.find_first_of("\r\n")).substr(0, kCharacters));
  std::replace_if(line.begin(), line.end(), IsControl, ' ');
  return line;
}

std::string Refusal(const HttpAnswer& answer) {
  std::string next;
  if (answer.status == 401 || answer.status == 403)
    next = fmt::format("; credentials go into {} or --push-header @FILE", kPushTokenVariable);
  if (answer.status == 404) next = "; is that the path of its ingestion?";
  if (!answer.location.empty()) next = "; it redirects to " + FirstLine(answer.location) + ": give that URL";
  const std::string text = FirstLine(answer.text);
  return fmt::format("the server answered {}{}{}", answer.status, text.empty() ? "" : " (" + text + ")", next);
}

}  // namespace

std::string UrlProblem(const std::string& url) {
  if (!url.starts_with("http://") && !url.starts_with("https://")) return "it begins neither with http:// nor https://";
  if (url.find('#') != std::string::npos ||
      std::any_of(url.begin(), url.end(), [](char c) { return IsControl(c) || c == ' '; }))
    return "it holds what no URL does";
  const std::string authority = Split(url).authority;
  if (authority.ends_with("//")) return "it names no host";
  if (authority.find('@') != std::string::npos)
    return fmt::format(
        "everybody on this machine can read a command line: credentials go into {} or --push-header @FILE",
        kPushTokenVariable);
  return "";
}

Result<std::vector<std::string>> ReadHeaders(const std::string& text_or_file) {
  std::vector<std::string> lines;
  if (text_or_file.starts_with('@')) {
    const std::string file = text_or_file.substr(1);
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) {
      if (line.ends_with('\r')) line.pop_back();
      if (!line.empty() && line[0] != '#') lines.push_back(line);
    }
    if (!in.eof()) return Error{ErrorCode::kUnreadable, "cannot read the headers in " + file, std::strerror(errno)};
    if (lines.empty()) return Error{ErrorCode::kUnreadable, file + " holds no header", ""};
  } else {
    lines.push_back(text_or_file);
  }
  for (const std::string& line : lines) {
    const size_t colon = line.find(':');
    const bool is_header = colon != std::string::npos && colon > 0 &&
                           std::none_of(line.begin(), line.end(), IsControl) &&
                           std::all_of(line.begin(), line.begin() + static_cast<ptrdiff_t>(colon), IsPlain);
    // The line itself may be a secret.
    if (!is_header) return Error{ErrorCode::kUsage, "a header is `Name: value`, in one line", ""};
  }
  return lines;
}

Result<std::pair<std::string, std::string>> ParseLabel(const std::string& text) {
  const size_t equals = text.find('=');
  const std::string name = text.substr(0, equals);
  const bool is_name =
      !name.empty() && std::isdigit(static_cast<unsigned char>(name[0])) == 0 &&
      std::all_of(name.begin(), name.end(), [](char c) { return c == '_' || (IsPlain(c) && c != '-' && c != '.'); });
  if (equals == std::string::npos || !is_name)
    return Error{ErrorCode::kUsage, "a label is NAME=VALUE, its name of letters, digits and `_`", ""};
  return std::pair(name, text.substr(equals + 1));
}

Series SeriesOf(const Report& report, const PushOrder& order) {
  const Target target = DescribeTarget(report);
  // In Pyroscope's names braces, commas and equals signs have a meaning.
  const auto clean = [](std::string text) {
    std::replace_if(
        text.begin(), text.end(), [](char c) { return !IsPlain(c) && c != '/' && c != ':'; }, '_');
    return text;
  };
  const std::string exe = target.exe.substr(target.exe.rfind('/') + 1);
  Series series{.name = exe.empty() ? "unknown" : clean(exe), .labels = {}};
  series.labels = {{"hostname", target.hostname},
                   {"container_id", target.container_id},
                   {"pid", std::to_string(report.profile->header.pid)}};
  for (const auto& [name, value] : order.labels) {
    std::erase_if(series.labels, [&](const auto& label) { return label.first == name; });
    series.labels.emplace_back(name, value);
  }
  std::erase_if(series.labels, [](const auto& label) { return label.second.empty(); });
  for (auto& [name, value] : series.labels) value = clean(value);
  return series;
}

HttpRequest PushRequest(const PushOrder& order, const Series& series, uint64_t moment_ns, std::string pprof) {
  HttpRequest request = IsParca(order.url) ? ParcaRequest(order, series, pprof)
                                           : PyroscopeRequest(order, series, moment_ns, std::move(pprof));
  request.headers.insert(request.headers.end(), order.headers.begin(), order.headers.end());
  request.patience = order.patience;
  return request;
}

Result<std::string> Push(const Report& report, Metric metric, const PushOrder& order) {
  const Series series = SeriesOf(report, order);
  std::ostringstream pprof;
  WritePprof(report, metric, &pprof);
  const std::string what = fmt::format("cannot push {} (pid {}) to {}", series.name, report.profile->header.pid,
                                       Split(order.url).authority + Split(order.url).path);
  Result<HttpAnswer> answer = Post(PushRequest(order, series, report.end_ns, std::move(pprof).str()));
  if (!answer.ok()) return Error{ErrorCode::kNotDelivered, what, answer.error().message + answer.error().context};
  if (answer.value().status / 100 != 2) return Error{ErrorCode::kNotDelivered, what, Refusal(answer.value())};
  std::string name = series.name + "{";
  for (const auto& [key, value] : series.labels) name += (name.back() == '{' ? "" : ", ") + key + "=" + value;
  return name + "}";
}

}  // namespace memtrace::tools
