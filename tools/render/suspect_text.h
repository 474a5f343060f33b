// A suspect in words that stand alone: in a ticket, without the rest of the report.
#ifndef MEMTRACE_TOOLS_RENDER_SUSPECT_TEXT_H_
#define MEMTRACE_TOOLS_RENDER_SUSPECT_TEXT_H_

#include <string>

#include "tools/analysis/report.h"

namespace memtrace::tools {

// "Problem suspect 1 [MT-7f3a91] growing without bound, confirmed"
std::string SuspectHeading(const Suspect& suspect, size_t rank);

// How much, which share of the heap and of the limit, in how many blocks, allocated where, since when, how fast it
// grows and when that reaches the limit, how sure that is and on how many samples it rests, what else it could be.
std::string SuspectParagraph(const Report& report, const Suspect& suspect);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_RENDER_SUSPECT_TEXT_H_
