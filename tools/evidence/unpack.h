// The bytes of a text as it was written, out of what it is kept in: gzip, as log rotation leaves it, and UTF-16, as
// Windows' tools save it.
#ifndef MEMTRACE_TOOLS_EVIDENCE_UNPACK_H_
#define MEMTRACE_TOOLS_EVIDENCE_UNPACK_H_

#include <memory>
#include <string_view>

#include "tools/evidence/line_reader.h"

namespace memtrace::tools {

struct Unpacked {
  ByteSource source;              // of plain text; bounded memory, whatever is inside
  std::shared_ptr<bool> damaged;  // set when the compressed data ended early or made no sense
};

// `source` gives the bytes of a file. What is neither comes through unchanged.
Unpacked Unpack(ByteSource source);

// Begins like something that Unpack understands, though it holds bytes that no text has.
bool IsPackedText(std::string_view head);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_EVIDENCE_UNPACK_H_
