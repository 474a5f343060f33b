// One HTTP request, by libcurl, which is looked for when it is needed: a report that goes to a file starts without it.
#ifndef MEMTRACE_TOOLS_PUSH_HTTP_POST_H_
#define MEMTRACE_TOOLS_PUSH_HTTP_POST_H_

#include <chrono>
#include <string>
#include <vector>

#include "tools/common/result.h"

namespace memtrace::tools {

struct HttpRequest {
  std::string url;  // http or https
  std::vector<std::string> headers;
  std::string body;
  std::chrono::seconds patience{60};  // for all of it
};

struct HttpAnswer {
  long status = 0;
  std::string location;  // of a redirection, which is not followed
  std::string text;      // the beginning of the body
};

// An answer of any status is one; an error means that none came. Certificates and host names are checked against the
// system's authorities, or those in the file that SSL_CERT_FILE names. Proxies are taken from the environment.
Result<HttpAnswer> Post(const HttpRequest& request);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_PUSH_HTTP_POST_H_
