// Brings evidence from outside together with the reports on recordings.
#ifndef MEMTRACE_TOOLS_ANALYSIS_JOIN_H_
#define MEMTRACE_TOOLS_ANALYSIS_JOIN_H_

#include <memory>
#include <vector>

#include "tools/analysis/report.h"

namespace memtrace::tools {

// Each report gets what the evidence says about its process, and a new verdict; the report on the victim comes first.
// Where there is no report, one is made from the evidence alone (Report::recorded is false). Sets OomKill::is_target of
// kills of a reported process; without a recording, of the kill that the report is about.
void JoinEvidence(std::unique_ptr<Evidence> evidence, std::vector<Report>* reports);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_ANALYSIS_JOIN_H_
