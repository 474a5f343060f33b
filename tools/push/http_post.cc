#include "tools/push/http_post.h"

#include <curl/curl.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <type_traits>

namespace memtrace::tools {
namespace {

constexpr char kLibrary[] = "libcurl.so.4";
constexpr long kConnectSeconds = 10;
constexpr size_t kAnswerBytes = 4096;

// The functions of the library by their own names.
struct Curl {
  decltype(&curl_easy_init) easy_init = nullptr;
  decltype(&curl_easy_setopt) easy_setopt = nullptr;
  decltype(&curl_easy_perform) easy_perform = nullptr;
  decltype(&curl_easy_getinfo) easy_getinfo = nullptr;
  decltype(&curl_easy_strerror) easy_strerror = nullptr;
  decltype(&curl_easy_cleanup) easy_cleanup = nullptr;
  decltype(&curl_slist_append) slist_append = nullptr;
  decltype(&curl_slist_free_all) slist_free_all = nullptr;

  // Null if the library is not there.
  static const Curl* Load() {
    static Curl curl;
    static const bool whole = curl.Find();
    return whole ? &curl : nullptr;
  }

 private:
  bool Find() {
    void* library = dlopen(kLibrary, RTLD_LAZY | RTLD_LOCAL);  // for the rest of the process
    const auto find = [library](const char* name, auto* function) {
      if (library != nullptr)
        *function = reinterpret_cast<std::remove_pointer_t<decltype(function)>>(dlsym(library, name));
      return *function != nullptr;
    };
    return find("curl_easy_init", &easy_init) && find("curl_easy_setopt", &easy_setopt) &&
           find("curl_easy_perform", &easy_perform) && find("curl_easy_getinfo", &easy_getinfo) &&
           find("curl_easy_strerror", &easy_strerror) && find("curl_easy_cleanup", &easy_cleanup) &&
           find("curl_slist_append", &slist_append) && find("curl_slist_free_all", &slist_free_all);
  }
};

// What comes beyond the beginning is taken and dropped.
size_t TakeText(const char* data, size_t size, size_t count, void* text) {
  auto& taken = *static_cast<std::string*>(text);
  taken.append(data, std::min(size * count, kAnswerBytes - std::min(taken.size(), kAnswerBytes)));
  return size * count;
}

}  // namespace

Result<HttpAnswer> Post(const HttpRequest& request) {
  const Curl* curl = Curl::Load();
  if (curl == nullptr)
    return Error{ErrorCode::kNotDelivered, std::string(kLibrary) + " cannot be used: install libcurl4", ""};
  const std::unique_ptr<CURL, decltype(curl->easy_cleanup)> easy(curl->easy_init(), curl->easy_cleanup);
  std::unique_ptr<curl_slist, decltype(curl->slist_free_all)> headers(nullptr, curl->slist_free_all);
  const auto add_header = [&](const char* line) {
    curl_slist* longer = curl->slist_append(headers.get(), line);
    if (longer == nullptr) return false;
    (void)headers.release();
    headers.reset(longer);
    return true;
  };
  bool ready = easy != nullptr && add_header("Expect:");  // else curl waits a second for servers that do not know it
  for (const std::string& header : request.headers) ready = ready && add_header(header.c_str());
  char reason[CURL_ERROR_SIZE] = "";
  HttpAnswer answer;
  const auto set = [&](CURLoption option, auto value) {
    ready = ready && curl->easy_setopt(easy.get(), option, value) == CURLE_OK;
  };
  set(CURLOPT_ERRORBUFFER, reason);
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_USERAGENT, "memtrace-report");
  set(CURLOPT_HTTPHEADER, headers.get());
  set(CURLOPT_POST, 1L);
  set(CURLOPT_POSTFIELDS, request.body.data());
  set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
  set(CURLOPT_CONNECTTIMEOUT, std::min<long>(kConnectSeconds, static_cast<long>(request.patience.count())));
  set(CURLOPT_TIMEOUT, static_cast<long>(request.patience.count()));
  set(CURLOPT_WRITEFUNCTION, TakeText);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&answer.text));
  // The variable that OpenSSL's own users know; libcurl has a path of its own.
  if (const char* authorities = std::getenv("SSL_CERT_FILE"); authorities != nullptr && *authorities != '\0')
    set(CURLOPT_CAINFO, authorities);
  if (!ready) return Error{ErrorCode::kNotDelivered, "libcurl cannot be set up for " + request.url, reason};

  const CURLcode outcome = curl->easy_perform(easy.get());
  if (outcome != CURLE_OK)
    return Error{ErrorCode::kNotDelivered, "", *reason != '\0' ? reason : curl->easy_strerror(outcome)};
  curl->easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &answer.status);
  const char* location = nullptr;
  curl->easy_getinfo(easy.get(), CURLINFO_REDIRECT_URL, &location);
  if (location != nullptr) answer.location = location;
  return answer;
}

}  // namespace memtrace::tools
