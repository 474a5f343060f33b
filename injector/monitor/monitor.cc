#include "injector/monitor/monitor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "injector/container_root.h"
#include "injector/monitor/ending.h"
#include "injector/monitor/outputs.h"
#include "libmemtrace/rt/os.h"

namespace memtrace::injector {
namespace {

// Rows go out one write each, so that a reader of the file never sees half of one.
class CsvFile {
 public:
  // False with errno set. A file with this very header is continued, any other content refused (errno 0).
  bool Open(const std::string& path) {
    if (path.empty() || path == "-") return Write(CsvHeader());
    fd_ = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd_ < 0) return false;
    std::ifstream old(path);
    std::string first;
    if (!std::getline(old, first)) return Write(CsvHeader());
    errno = 0;
    return first + "\n" == CsvHeader();
  }
  ~CsvFile() {
    if (fd_ != STDOUT_FILENO && fd_ >= 0) close(fd_);
  }
  bool Write(const std::string& text) {  // false with errno set
    errno = -rt::WriteAll(fd_, text.data(), text.size());
    return errno == 0;
  }

 private:
  int fd_ = STDOUT_FILENO;
};

// SIGINT, SIGTERM and SIGHUP as a descriptor, so that they end the loop and nothing else.
class StopSignals {
 public:
  StopSignals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, signal);
    sigprocmask(SIG_BLOCK, &set, &old_);
    fd_ = signalfd(-1, &set, SFD_CLOEXEC);
    signal(SIGPIPE, SIG_IGN);  // NOLINT(cert-err33-c): then a reader that left is an error of write
  }
  ~StopSignals() {
    close(fd_);
    sigprocmask(SIG_SETMASK, &old_, nullptr);
  }
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  int descriptor() const { return fd_; }

 private:
  sigset_t old_;
  int fd_;
};

void AddEvent(const std::string& event, MonitorSample* sample) {
  sample->event += (sample->event.empty() ? "" : "; ") + Printable(event, PATH_MAX);
}

class Session {
 public:
  Session(const MonitorRequest& request, const MonitorTarget& target)
      : request_(request), target_(target), watch_(target), show_(isatty(STDERR_FILENO) == 1 && !ToTerminal()) {}

  MonitorOutcome Run() {
    errno = 0;
    if (!csv_.Open(request_.csv)) {
      return {false,
              "cannot write " + request_.csv + ": " +
                  (errno != 0 ? strerror(errno) : "it is there, and not a CSV of this program with these columns")};
    }
    // It is drawn at the end, maybe in days: that it can be is known now.
    if (!request_.plot.empty() && !ReplaceFile(request_.plot, PlotSvg(target_name(), {}))) Fail(request_.plot);
    for (uint64_t row = 1; outcome_.ok; ++row) {
      const uint64_t next_ns = rt::NowNanoseconds(rt::Clock::kMonotonic) + request_.interval_ns;
      if (watch_.HasEnded()) {
        TakeLast();
        break;
      }
      Take();
      const bool last = row == request_.count;
      if (last || !outcome_.ok || !Sleep(next_ns)) break;
    }
    if (show_) fputs("\r\033[K", stderr);
    if (outcome_.ok && !request_.plot.empty() && !ReplaceFile(request_.plot, PlotSvg(target_name(), plot_.rows())))
      Fail(request_.plot);
    return outcome_;
  }

 private:
  bool ToTerminal() const { return (request_.csv.empty() || request_.csv == "-") && isatty(STDOUT_FILENO) == 1; }
  std::string target_name() const {
    return Printable(target_.name.empty() ? target_.cgroup.path : target_.name, PATH_MAX);
  }

  void Fail(const std::string& file) {
    outcome_ = {false,
                "cannot write " + (file.empty() || file == "-" ? "to standard output" : file) + ": " + strerror(errno)};
  }

  void Take() {
    MonitorSample sample = ReadSample(target_);
    sample.values[kSnapshots] = snapshots_.Count(target_);
    NoteChanges(&sample);
    Put(sample, true);
    if (sample.Knows(kUsage)) before_ = sample;
    if (show_) {
      fprintf(stderr, "\r\033[K%s", ProgressLine(sample).c_str());
      fflush(stderr);
    }
  }

  void TakeLast() {
    MonitorSample sample = ReadSample(target_);
    sample.values[kSnapshots] = snapshots_.Count(target_);
    NoteChanges(&sample);
    // A large process dies slowly: its kill may have been counted some rows ago.
    constexpr uint64_t kSlowDeathNs = 5000000000;
    const bool lately = kill_.time_ns + kSlowDeathNs + request_.interval_ns > sample.time_ns;
    outcome_.message = watch_.Why(lately ? before_kill_ : before_, sample);
    if (outcome_.message.find("OOM kill") == 0 && !lately) AddEvent("oom_kill", &sample);
    AddEvent("end: " + outcome_.message, &sample);
    Put(sample, false);
  }

  void NoteChanges(MonitorSample* sample) {
    if (before_.time_ns == 0) return;
    const auto grew = [&](Field field) {
      return sample->Knows(field) && sample->values[field] > (before_.Knows(field) ? before_.values[field] : 0);
    };
    if (before_.Knows(kOomKills) && grew(kOomKills)) {
      AddEvent("oom_kill", sample);
      before_kill_ = before_;
      kill_ = *sample;
    }
    if (grew(kSnapshots)) AddEvent("snapshot", sample);
  }

  void Put(const MonitorSample& sample, bool running) {
    if (!csv_.Write(CsvRow(sample))) Fail(request_.csv);
    if (!request_.metrics.empty() && !ReplaceFile(request_.metrics, MetricsText(target_, sample, running)))
      Fail(request_.metrics);
    if (!request_.plot.empty()) plot_.Add(sample);
  }

  // False if a signal asks for the end.
  bool Sleep(uint64_t until_ns) {
    pollfd events[2] = {{stop_.descriptor(), POLLIN, 0}, {watch_.descriptor(), POLLIN, 0}};
    while (true) {
      const uint64_t now_ns = rt::NowNanoseconds(rt::Clock::kMonotonic);
      if (now_ns >= until_ns) return true;
      // In slices where no descriptor tells of the end.
      const uint64_t slice_ns = watch_.descriptor() < 0 ? 200000000 : uint64_t{3600} * 1000000000;
      const uint64_t wait_ms = std::min(until_ns - now_ns, slice_ns) / 1000000 + 1;
      const int ready = poll(events, 2, static_cast<int>(wait_ms));
      if (ready > 0 && events[0].revents != 0) {
        signalfd_siginfo taken;  // else it would strike once it is no longer blocked
        outcome_.message = "stopped by a signal";
        return read(stop_.descriptor(), &taken, sizeof(taken)) < 0;
      }
      if ((ready > 0 && events[1].revents != 0) || (watch_.descriptor() < 0 && watch_.HasEnded())) return true;
    }
  }

  const MonitorRequest& request_;
  const MonitorTarget& target_;
  StopSignals stop_;
  EndingWatch watch_;
  SnapshotWatch snapshots_;
  CsvFile csv_;
  PlotRows plot_;
  MonitorSample before_;
  MonitorSample before_kill_, kill_;  // the rows around the last growth of oom_kill; time 0: there was none
  MonitorOutcome outcome_;
  const bool show_;
};

}  // namespace

MonitorOutcome Monitor(const MonitorRequest& request) {
  const MonitorTarget target = FindTarget(request.target);
  if (!target.message.empty()) return {false, target.message};
  return Session(request, target).Run();
}

}  // namespace memtrace::injector
