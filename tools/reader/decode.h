// From the bytes of a recording to a Profile.
#ifndef MEMTRACE_TOOLS_READER_DECODE_H_
#define MEMTRACE_TOOLS_READER_DECODE_H_

#include "tools/common/result.h"
#include "tools/reader/layout.h"
#include "tools/reader/profile.h"
#include "tools/reader/recording_file.h"

namespace memtrace::tools {

// Total: any content gives an error (see Layout::Parse) or a profile whose losses say what is
// missing. Time and memory are proportional to the size of the file.
Result<Profile> Decode(const RecordingFile& file);

// The parts, in the order in which Decode calls them.
void DecodeModules(const Layout& layout, Profile* profile);
void DecodeNodes(const Layout& layout, Profile* profile);
void DecodeBlobs(const Layout& layout, Profile* profile);
// Totals, sites, columns, and the work clock; the deferred events of threads go to `deferred`, those of
// one thread in their order.
void DecodeCounters(const Layout& layout, Profile* profile, std::vector<format::DeferredEvent>* deferred);
// Live blocks, live totals and peaks; adds sites that occur only here.
void DecodeLive(const Layout& layout, const std::vector<format::DeferredEvent>& deferred, Profile* profile);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_READER_DECODE_H_
