// Evidence in lines of text, of all kinds at once: what people paste is mixed.
#ifndef MEMTRACE_TOOLS_EVIDENCE_TEXT_EVIDENCE_H_
#define MEMTRACE_TOOLS_EVIDENCE_TEXT_EVIDENCE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tools/evidence/cgroup_text.h"
#include "tools/evidence/container_text.h"
#include "tools/evidence/embedded_log.h"
#include "tools/evidence/events_text.h"
#include "tools/evidence/evidence.h"
#include "tools/evidence/kernel_log.h"
#include "tools/evidence/kill_list.h"
#include "tools/evidence/monitor_csv.h"
#include "tools/evidence/stats_table.h"

namespace memtrace::tools {

class TextEvidence {
 public:
  TextEvidence(uint32_t file, Evidence* evidence, KillList* kills);

  // A line as it was read. True if some parser wanted it.
  bool Take(std::string_view line, uint32_t number);
  void Finish();

  // The lines of a log that came inside of a document, with the time that stood beside them.
  bool TakeLogText(std::string_view text, uint32_t number, const Stamp& stamp);

  bool looks_like_log() const { return stamped_lines_ > 0 && stamped_lines_ * 2 >= seen_lines_; }
  uint64_t left_out() const { return kernel_.left_out(); }

 private:
  // Nothing: it is no entry of a log in JSON.
  std::optional<bool> TakeJsonLine(std::string_view line, uint32_t number);
  bool TakeClean(std::string_view line, uint32_t number);
  bool TakeNotice(std::string_view line, uint32_t number, const Moment& time);

  const uint32_t file_;
  Evidence& evidence_;
  KernelLog kernel_;
  MonitorCsv csv_;
  StatsTable stats_;
  EventsText events_;
  CgroupText cgroup_;
  ContainerText containers_;
  FieldLines fields_;
  std::string command_;  // the part of a command line before "\" at a line's end
  uint32_t command_line_ = 0;
  uint64_t seen_lines_ = 0;
  uint64_t stamped_lines_ = 0;
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_EVIDENCE_TEXT_EVIDENCE_H_
