#include "tools/push/push.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace memtrace::tools {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr uint64_t kMoment = 1'700'000'000'123'456'789;
const Series kSeries{.name = "web", .labels = {{"hostname", "a/b"}, {"pid", "7"}}};

HttpRequest RequestTo(const std::string& url, const std::string& pprof = "profile") {
  return PushRequest({.url = url, .headers = {"A: b"}, .labels = {}, .patience = std::chrono::seconds(3)}, kSeries,
                     kMoment, pprof);
}

TEST(PushTest, PyroscopesQueryIsPutBehindTheUsersOwn) {
  const std::string query =
      "name=web%7Bhostname%3Da%2Fb%2Cpid%3D7%7D&from=1699999990&until=1700000000&format=pprof&spyName=memtrace";
  EXPECT_EQ(RequestTo("http://h:4040").url, "http://h:4040/ingest?" + query);
  EXPECT_EQ(RequestTo("http://h/").url, "http://h/ingest?" + query);
  EXPECT_EQ(RequestTo("https://h/p/ingest?x=1").url, "https://h/p/ingest?x=1&" + query);
  EXPECT_EQ(RequestTo("https://h?x=1").url, "https://h/ingest?x=1&" + query);
  const HttpRequest request = RequestTo("http://h");
  EXPECT_EQ(request.body, "profile");
  EXPECT_THAT(request.headers, ElementsAre("Content-Type: application/octet-stream", "A: b"));
  EXPECT_EQ(request.patience, std::chrono::seconds(3));
}

TEST(PushTest, ParcaIsGivenJsonWithBase64) {
  // The vectors of RFC 4648, and a byte with its highest bit set.
  for (const auto& [bytes, digits] :
       {std::pair("", ""), std::pair("f", "Zg=="), std::pair("fo", "Zm8="), std::pair("foo", "Zm9v"),
        std::pair("foobar", "Zm9vYmFy"), std::pair("\xff", "/w==")}) {
    const HttpRequest request = RequestTo("http://h/x/profiles/writeraw", bytes);
    EXPECT_EQ(request.url, "http://h/x/profiles/writeraw");
    const auto series = nlohmann::json::parse(request.body)["series"];
    ASSERT_EQ(series.size(), 1u);
    EXPECT_EQ(series[0]["samples"][0]["rawProfile"], digits);
    EXPECT_EQ(series[0]["labels"]["labels"][1]["value"], "web");
    EXPECT_EQ(series[0]["labels"]["labels"].size(), 4u);
  }
}

TEST(PushTest, UrlsThatCannotBe) {
  EXPECT_THAT(UrlProblem("https://pyroscope.example:4040/ingest?a=b@c"), IsEmpty());
  for (const char* url : {"pyroscope:4040", "file:///etc/passwd", "http://", "http:///x", "http://a b/", "http://a/#x",
                          "http://a/\n", "http://user:secret@a/"}) {
    EXPECT_THAT(UrlProblem(url), Not(IsEmpty())) << url;
    EXPECT_THAT(UrlProblem(url), Not(HasSubstr("secret")));
  }
}

TEST(PushTest, HeadersAreOneLineEach) {
  EXPECT_THAT(ReadHeaders("X-Scope-OrgID: a: b").value(), ElementsAre("X-Scope-OrgID: a: b"));
  for (const char* text : {"", "no colon", ": value", "a b: c", "a: b\r\nc: d", "@/nonexistent/file", "@/dev/null"})
    EXPECT_FALSE(ReadHeaders(text).ok()) << text;
}

TEST(PushTest, Labels) {
  EXPECT_EQ(ParseLabel("node_1=a=b").value(), (std::pair<std::string, std::string>("node_1", "a=b")));
  for (const char* text : {"", "=x", "a", "1a=x", "a-b=x", "a.b=x", "a b=x"})
    EXPECT_FALSE(ParseLabel(text).ok()) << text;
}

}  // namespace
}  // namespace memtrace::tools
