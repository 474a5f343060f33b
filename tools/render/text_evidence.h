// The sections of the text report on what the kernel and the container runtime said.
#ifndef MEMTRACE_TOOLS_RENDER_TEXT_EVIDENCE_H_
#define MEMTRACE_TOOLS_RENDER_TEXT_EVIDENCE_H_

#include <cstddef>

#include "tools/analysis/report.h"
#include "tools/render/page.h"

namespace memtrace::tools {

// Who was killed, by whose limit; the state of the container. Nothing if there is no evidence of either. `top` 0: all.
void WriteKills(const Report& report, size_t top, Page* page);

// What was read, and what of it was not understood.
void WriteEvidenceFiles(const Report& report, Page* page);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_RENDER_TEXT_EVIDENCE_H_
