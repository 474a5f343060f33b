// Everything that is read beside recordings: the kind of the input is recognised from its bytes, as in the program.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "tools/evidence/read.h"

namespace {

using memtrace::tools::Evidence;
using memtrace::tools::OomKill;

void Check(bool holds) {
  if (!holds) std::abort();
}

bool IsPlace(const Evidence& evidence, memtrace::tools::Place place) { return place.file < evidence.files.size(); }

// No number is made up: its digits stand in the input one after the other, though a line may break between them.
bool HasDigits(const std::string& digits_only, uint64_t number) {
  return digits_only.find(std::to_string(number)) != std::string::npos;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Evidence evidence;
  memtrace::tools::ReadEvidenceText(text, "input", &evidence);
  memtrace::tools::ReadEvidenceText(text, "again", &evidence);

  std::string digits;
  for (const char c : text)
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) digits += c;
  // Escapes and encodings stand for digits that are not there.
  const bool plain = text.find_first_of("\\=\x1b") == std::string_view::npos;
  for (const OomKill& kill : evidence.kills) {
    Check(IsPlace(evidence, kill.place) && (kill.pid != 0) && (kill.lines != 0));
    Check(!kill.report || *kill.report < evidence.reports.size());
    if (plain && kill.pid > 9) Check(HasDigits(digits, kill.pid));
    if (plain && kill.anon_rss_kb && *kill.anon_rss_kb > 9) Check(HasDigits(digits, *kill.anon_rss_kb));
    Check(kill.scope != memtrace::tools::OomScope::kGlobal || (!kill.limit_kb && kill.oom_memcg.empty()));
  }
  for (const auto& report : evidence.reports) {
    Check(IsPlace(evidence, report.place));
    for (const uint32_t kill : report.kills) Check(kill < evidence.kills.size());
  }
  for (const auto& state : evidence.containers) Check(IsPlace(evidence, state.place));
  for (const auto& files : evidence.cgroups) Check(IsPlace(evidence, files.place));
  for (const auto& event : evidence.events) Check(IsPlace(evidence, event.place));
  return 0;
}
