// The forms in which logs and states are kept, sent and pasted, and texts in which nothing happened.
#include <gmock/gmock.h>
#include <zlib.h>

#include <functional>
#include <string>
#include <vector>

#include "tests/unit/tools/evidence/read_text.h"
#include "tools/evidence/text.h"
#include "tools/evidence/unpack.h"

namespace memtrace::tools {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::string kId = std::string(32, '9') + std::string(32, 'a');

// Of RHEL 9, without stamps.
std::vector<std::string> Messages() {
  return {"nginx invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=-3",
          "CPU: 1 PID: 9021 Comm: nginx Not tainted 5.14.0-427.el9.x86_64 #1",
          "memory: usage 131072kB, limit 131072kB, failcnt 88",
          "swap: usage 0kB, limit 9007199254740988kB, failcnt 0",
          "Memory cgroup stats for /docker/" + kId + ":",
          "anon 130023424",
          "file 8192",
          "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
          "[   9021]   101  9021    50000    31000   400000        0            -3 nginx",
          "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=" + kId + ",mems_allowed=0,oom_memcg=/docker/" +
              kId + ",task_memcg=/docker/" + kId + ",task=nginx,pid=9021,uid=101",
          "Memory cgroup out of memory: Killed process 9021 (nginx) total-vm:200000kB, anon-rss:126000kB, "
          "file-rss:40kB, shmem-rss:0kB, UID:101 pgtables:390kB oom_score_adj:-3"};
}

enum class Time { kNone, kUnix, kUptime };

void ExpectTheKill(const Evidence& evidence, Time time) {
  ASSERT_THAT(evidence.kills, SizeIs(1));
  const OomKill& kill = evidence.kills[0];
  EXPECT_EQ(kill.pid, 9021U);
  EXPECT_EQ(kill.comm, "nginx");
  EXPECT_EQ(kill.scope, OomScope::kMemcg);
  EXPECT_EQ(kill.anon_rss_kb, 126000U);
  EXPECT_EQ(kill.pgtables_kb, 390U);
  EXPECT_EQ(kill.oom_score_adj, -3);
  EXPECT_EQ(kill.limit_kb, 131072U);
  EXPECT_EQ(kill.container_id, kId);
  EXPECT_EQ(kill.time.unix_ns.has_value(), time == Time::kUnix);
  EXPECT_EQ(kill.time.uptime_s.has_value(), time == Time::kUptime);
  ASSERT_THAT(evidence.reports, SizeIs(1));
  const OomReport& report = evidence.reports[0];
  EXPECT_EQ(report.invoker, "nginx");
  EXPECT_EQ(report.kernel, "5.14.0-427.el9.x86_64");
  EXPECT_THAT(report.tasks, SizeIs(1));
  ASSERT_THAT(report.stats, SizeIs(1));
  EXPECT_EQ(report.stats[0].BytesOf("anon"), 130023424U);
  EXPECT_EQ(report.stats[0].BytesOf("file"), 8192U);
}

struct Form {
  const char* name;
  Time time;
  const char* line;  // {} is the message, {n} a count of two digits
};
constexpr Form kForms[] = {
    {"journalctl -o short-iso", Time::kUnix, "2026-03-03T04:05:{n}+0100 node-7 kernel: {}"},
    {"journalctl -o short-monotonic", Time::kUptime, "[ 8123.0000{n}] node-7 kernel: {}"},
    {"journalctl -o short-delta", Time::kUptime, "[ 8123.0000{n} <    0.000003 >] node-7 kernel: {}"},
    {"journalctl -o short-unix", Time::kUnix, "1772510706.0000{n} node-7 kernel: {}"},
    {"journalctl -o short-precise", Time::kNone, "Mar 03 04:05:06.0000{n} node-7 kernel: {}"},
    {"journalctl -o export", Time::kUnix,
     "__CURSOR=s={n}\n__REALTIME_TIMESTAMP=17725107060000{n}\n_HOSTNAME=node-7\nMESSAGE={}\n"},
    {"journalctl -o verbose", Time::kUnix,
     "Tue 2026-03-03 04:05:06.0000{n} UTC [s=1;i={n};b=2]\n    _TRANSPORT=kernel\n    MESSAGE={}\n    _BOOT_ID=1"},
    {"dmesg --time-format iso", Time::kUnix, "2026-03-03T04:05:06,0000{n}+01:00 {}"},
    {"dmesg --time-format reltime", Time::kNone, "[  +0.0000{n}] {}"},
    {"dmesg -r", Time::kUptime, "<4>[ 8123.0000{n}] {}"},
    {"RFC 5424", Time::kUnix, "<6>1 2026-03-03T04:05:{n}.000001Z node-7 kernel - - - {}"},
    {"RFC 3164", Time::kUptime, "<6>Mar  3 04:05:{n} node-7 kernel: [ 8123.0000{n}] {}"},
    {"busybox", Time::kUptime, "Mar  3 04:05:{n} node-7 kern.warn kernel: [ 8123.0000{n}] {}"},
    {"/dev/kmsg with callers", Time::kUptime, "4,13{n},81230000{n},-,caller=T9021;{}\n SUBSYSTEM=pci"},
    {"netconsole", Time::kUptime, "10.0.0.7:6666 4,13{n},81230000{n},-;{}"},
    {"Talos", Time::kUnix, "node-7: kern: warning: [2026-03-03T04:05:{n}.000001Z]: {}"},
    {"a list in Markdown", Time::kUptime, "  * `[ 8123.0000{n}] {}`"},
    {"mail in mail", Time::kUptime, "> > [ 8123.0000{n}] {}"},
    {"a byte order mark", Time::kUptime, "\xef\xbb\xbf[ 8123.0000{n}] {}"},
    {"docker's json-file", Time::kUnix, R"({"log":"{}\n","stream":"stdout","time":"2026-03-03T04:05:{n}.000000001Z"})"},
    {"fluentd's file", Time::kUnix,
     "2026-03-03T04:05:{n}+00:00\tkernel\t"
     R"({"ident":"kernel","message":"{}"})"},
    {"fluent-bit", Time::kUnix, R"({"@timestamp":"2026-03-03T04:05:{n}.1Z","log":"{}","kubernetes":{"host":"n"}})"},
    {"Grafana's lines", Time::kUnix, R"({"line":"{}","timestamp":"2026-03-03T04:05:{n}Z","fields":{"host":"n"}})"},
    {"a log in an event", Time::kUnix,
     R"({"id":"A{n}","content":{"timestamp":"2026-03-03T04:05:{n}Z","service":"kernel","message":"{}"}})"},
    {"logcli", Time::kUnix, R"(2026-03-03T04:05:{n}Z {host="n", job="kernel"} {})"},
    {"logfmt", Time::kUnix, R"(ts=2026-03-03T04:05:{n}Z level=warn facility=kern msg="{}")"},
    {"a table of CloudWatch", Time::kNone, R"(2026-03-03 04:05:06.0{n},"{}")"},
    {"Cloud Logging's YAML", Time::kNone, "jsonPayload:\n  MESSAGE: '{}'\n  _TRANSPORT: kernel\n---"},
};

std::string Replaced(std::string text, std::string_view what, const std::string& by) {
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size()))
    text.replace(at, what.size(), by);
  return text;
}

std::string InForm(std::string_view form, const std::string& between = "\n") {
  std::string text;
  int count = 10;
  for (const std::string& message : Messages()) {
    if (count > 10) text += between;
    text += Replaced(Replaced(std::string(form), "{n}", std::to_string(count++)), "{}", message);
  }
  return text + '\n';
}

TEST(FormsTest, LinesOfLogs) {
  for (const Form& form : kForms) {
    SCOPED_TRACE(form.name);
    ExpectTheKill(ReadText(InForm(form.line)), form.time);
  }
}

TEST(FormsTest, Documents) {
  const std::pair<const char*, std::string> documents[] = {
      {"CloudWatch", R"({"events": [)" +
                         InForm(R"({"timestamp": 17725107060{n}, "message": "{}", "eventId": "38{n}"})", ",\n") + "]}"},
      {"Loki", R"({"data": {"result": [{"stream": {"job": "k"}, "values": [)" +
                   InForm(R"(["17725107060000000{n}", "{}"])", ",\n") + "]}]}}"},
      {"Cloud Logging",
       "[" + InForm(R"({"jsonPayload": {"MESSAGE": "{}"}, "timestamp": "2026-03-03T04:05:{n}Z"})", ",\n") + "]"},
      {"Elasticsearch", R"({"hits": {"hits": [)" +
                            InForm(R"({"_source": {"@timestamp": "2026-03-03T04:05:{n}Z", "message": "{}"}})", ",\n") +
                            "]}}"},
      {"CloudWatch Insights", R"({"results": [)" +
                                  InForm(R"([{"field": "@timestamp", "value": "2026-03-03T04:05:{n}Z"}, )"
                                         R"({"field": "@message", "value": "{}"}])",
                                         ",\n") +
                                  "]}"},
  };
  for (const auto& [name, text] : documents) {
    SCOPED_TRACE(name);
    ExpectTheKill(ReadText(text), Time::kUnix);
  }
}

std::string Compressed(const std::string& text) {
  constexpr int kGzipWindow = 15 + 16;
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string packed(deflateBound(&stream, text.size()), '\0');
  std::string input = text;
  stream.next_in = reinterpret_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

std::string Wide(const std::string& text, bool little) {
  std::string wide;
  for (const char c : text) wide += little ? std::string{c, '\0'} : std::string{'\0', c};
  return wide;
}

const char* const kPlain = "[ 8123.0000{n}] {}";

TEST(UnpackTest, Gzip) {
  const std::string text = InForm(kPlain);
  ExpectTheKill(ReadText(Compressed(text)), Time::kUptime);
  // Logs are appended to, and rotation may add a member that is empty.
  const size_t half = text.find('\n', text.size() / 2) + 1;
  ExpectTheKill(ReadText(Compressed(text.substr(0, half)) + Compressed("") + Compressed(text.substr(half))),
                Time::kUptime);
}

TEST(UnpackTest, GzipThatIsCutSaysSo) {
  std::string noise;
  for (unsigned i = 0; i < 20000; ++i) noise += "[ 9000.000001] line " + std::to_string(i * 2654435761U) + "\n";
  const std::string packed = Compressed(InForm(kPlain) + noise);
  const Evidence evidence = ReadText(packed.substr(0, packed.size() - 100));
  ExpectTheKill(evidence, Time::kUptime);
  EXPECT_THAT(evidence.files.at(0).losses, SizeIs(1));
  EXPECT_THAT(ReadText(Compressed(InForm(kPlain))).files.at(0).losses, IsEmpty());
}

TEST(UnpackTest, GzipThatUnfoldsToMuch) {
  EXPECT_THAT(ReadText(Compressed(InForm(kPlain) + std::string(size_t{64} << 20, '\n'))).kills, SizeIs(1));
}

TEST(UnpackTest, Utf16) {
  const std::string text = InForm(kPlain);
  ExpectTheKill(ReadText("\xff\xfe" + Wide(text, true)), Time::kUptime);
  ExpectTheKill(ReadText("\xfe\xff" + Wide(text, false)), Time::kUptime);
  ExpectTheKill(ReadText(Wide(text, true)), Time::kUptime);
  ExpectTheKill(ReadText(Compressed("\xff\xfe" + Wide(text, true))), Time::kUptime);
}

TEST(UnpackTest, Utf16BecomesUtf8) {
  const auto decoded = [](std::string_view bytes) {
    const Unpacked unpacked = Unpack([bytes](std::span<char> to) mutable {
      const size_t count = bytes.copy(to.data(), std::min<size_t>(to.size(), 3));
      bytes.remove_prefix(count);
      return count;
    });
    std::string text;
    char buffer[5];
    while (const size_t count = unpacked.source(buffer)) text.append(buffer, count);
    return text;
  };
  using namespace std::string_view_literals;
  EXPECT_EQ(decoded("\xff\xfe\x41\x00\xe4\x00\xac\x20\x3d\xd8\x00\xde"sv), "A\u00e4\u20ac\U0001F600");
  EXPECT_EQ(decoded("\xfe\xff\xd8\x3d\x00\x41"sv), "\ufffdA");
  EXPECT_EQ(decoded("plain"sv), "plain");
  EXPECT_EQ(decoded(""sv), "");
}

struct Told {
  const char* text;
  NoticeKind kind;
  const char* subject;
};
constexpr Told kNotices[] = {
    {"     Active: failed (Result: oom-kill) since Tue 2026-03-03 04:05:06 UTC; 5min ago", NoticeKind::kUnitOom, ""},
    {"Mar 03 04:05:06 n systemd[1]: shop.service: Failed with result 'oom-kill'.", NoticeKind::kUnitOom,
     "shop.service"},
    {"earlyoom[5]: sending SIGTERM to process 77 uid 0 \"java\": oom_score 912, VmRSS 3512 MiB, cmdline \"java\"",
     NoticeKind::kUserSpaceKiller, "java"},
    {"earlyoom: sending SIGKILL to process 77 uid 0 \"java\": badness 912, VmRSS 3512 MiB",
     NoticeKind::kUserSpaceKiller, "java"},
    {"03-03 04:05:06.123 4 4 I lowmemorykiller: Kill 'com.shop' (77), uid 1, oom_score_adj 900 to free 5kB rss, 0kB "
     "swap",
     NoticeKind::kUserSpaceKiller, "com.shop"},
    {"I0303 04:05:06.223456 1 eviction_manager.go:595] \"Eviction manager: pod is evicted successfully\" "
     "pod=\"shop/web-0\"",
     NoticeKind::kEviction, "shop/web-0"},
    {"I0303 04:05:06.223456 1 eviction_manager.go:349] \"Eviction manager: must evict pod(s) to reclaim\" "
     "resourceName=\"memory\"",
     NoticeKind::kEvictionReason, "memory"},
    {"eviction manager: must evict pod(s) to reclaim nodefs", NoticeKind::kEvictionReason, "nodefs"},
    {"old-1    0/1     Evicted     0             5m", NoticeKind::kEviction, "old-1"},
};

TEST(FormsTest, OtherKillers) {
  for (const Told& told : kNotices) {
    SCOPED_TRACE(told.text);
    const Evidence evidence = ReadText(told.text);
    EXPECT_THAT(evidence.kills, IsEmpty());
    ASSERT_THAT(evidence.notices, SizeIs(1));
    EXPECT_EQ(evidence.notices[0].kind, told.kind);
    EXPECT_EQ(evidence.notices[0].subject, told.subject);
  }
}

TEST(FormsTest, DaemonsTellOfAKill) {
  const std::string texts[] = {
      "time=\"2026-03-03T04:05:06.1Z\" level=info msg=\"TaskOOM event container_id:\\\"" + kId + "\\\"\"",
      "time=\"2026-03-03T04:05:06.1Z\" level=info msg=\"TaskOOM event &TaskOOM{ContainerID:" + kId +
          ",XXX_unrecognized:[],}\"",
      "Mar 03 04:05:06 n dockerd[8]: time=\"2026-03-03T04:05:06.1Z\" level=info msg=\"ignoring event\" container=" +
          kId + " module=libcontainerd namespace=moby topic=/tasks/oom type=\"*events.TaskOOM\""};
  for (const std::string& text : texts) {
    SCOPED_TRACE(text);
    const Evidence evidence = ReadText(text);
    ASSERT_THAT(evidence.events, SizeIs(1));
    EXPECT_EQ(evidence.events[0].action, "oom");
    EXPECT_EQ(evidence.events[0].id, kId);
    EXPECT_EQ(evidence.events[0].time.unix_ns.value_or(0) / 1000000000, 1772510706);
  }
}

TEST(FormsTest, RowsOfPods) {
  const Evidence evidence = ReadText(
      "NAMESPACE   NAME    READY   STATUS           RESTARTS      AGE\n"
      "shop        web-0   0/1     OOMKilled        3 (41s ago)   5m\n"
      "shop        web-1   0/1     Init:OOMKilled   1             5m\n"
      "shop        web-2   1/1     Running          0             5m\n");
  ASSERT_THAT(evidence.containers, SizeIs(2));
  EXPECT_EQ(evidence.containers[0].pod, "web-0");
  EXPECT_EQ(evidence.containers[0].name_space, "shop");
  EXPECT_EQ(evidence.containers[0].restart_count, 3U);
  EXPECT_EQ(evidence.containers[0].oom_killed, true);
  EXPECT_EQ(evidence.containers[1].reason, "OOMKilled");
}

constexpr const char* kInnocent[] = {
    "2026-03-03T04:05:06Z INFO worker: out of memory check passed, 12 GiB free",
    "2026-03-03T04:05:08Z ERROR java.lang.OutOfMemoryError: Java heap space",
    "2026-03-03T04:05:09Z INFO supervisor: Killed process 12 because of a configuration change",
    "2026-03-03T04:05:10Z INFO supervisor: process 12 exited with exit code 137",
    "If the kernel says \"Out of memory: Killed process\" look at the limit. When a container shows OOMKilled, compare",
    "\"xyz invoked oom-killer\". Memory cgroup out of memory messages name the cgroup.",
    "vm.oom_kill_allocating_task = 0\nvm.panic_on_oom = 0",
    "Mar 03 04:05:06 n systemd[1]: Started systemd-oomd.service - Userspace Out-Of-Memory (OOM) Killer.",
    "Mar 03 04:05:06 n earlyoom[591]: mem avail: 12000 of 16000 MiB (75.00%), swap free: 0 of 0 MiB ( 0.00%)",
    "[  200.000002] java: page allocation failure: order:4, mode:0x40cc0(GFP_KERNEL), nodemask=(null)",
    "I0303 04:05:06.123456 1 eviction_manager.go:205] \"Eviction manager: synchronize housekeeping\"",
    R"({"level":"info","ts":"2026-03-03T04:05:06Z","msg":"set memory limit","limit":"64MiB","exitCode":137,"oom":true})",
    "    print(\"Out of memory: Killed process %d (%s) total-vm:%dkB\")",
    "grep -i 'killed process' /var/log/messages; dmesg | grep -i oom-kill",
    "web-0    1/1     Running     0             5m",
};

TEST(FormsTest, NothingHappened) {
  for (const char* text : kInnocent) {
    SCOPED_TRACE(text);
    Evidence evidence = ReadText(text);
    evidence.files.clear();
    EXPECT_TRUE(evidence.empty());
  }
}

TEST(FormsTest, AYearIsNoQuotedPrintable) {
  std::string buffer;
  EXPECT_EQ(CleanLine("ts=2026-03-03 a", &buffer), "ts=2026-03-03 a");
  EXPECT_EQ(CleanLine("count=20 of", &buffer), "count  of");
  EXPECT_EQ(CleanLine("count=20 of=some", &buffer), "count=20 of=some");
  EXPECT_EQ(CleanLine("mask=3D0xcc0", &buffer), "mask=0xcc0");
}

}  // namespace
}  // namespace memtrace::tools
