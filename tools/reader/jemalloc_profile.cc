#include "tools/reader/jemalloc_profile.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "libmemtrace/format/weight.h"
#include "tools/common/numbers.h"

namespace memtrace::tools {
namespace {

constexpr std::string_view kBegin = "heap_v2/";
// Blocks are made one by one from sums that the file may have made up.
constexpr uint64_t kMostBlocks = uint64_t{1} << 22;
constexpr size_t kMostFrames = 4096;
// Where programs that are not position-independent are linked to on x86-64: then addresses are those of the file.
constexpr uint64_t kFixedBase = 0x400000;

std::string_view TakeLine(std::string_view* text) {
  const size_t end = std::min(text->find('\n'), text->size());
  std::string_view line = text->substr(0, end);
  text->remove_prefix(std::min(end + 1, text->size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  return line;
}

std::optional<uint64_t> TakeNumber(std::string_view* text, int base) {
  text->remove_prefix(std::min(text->find_first_not_of(" \t"), text->size()));
  if (base == 16 && text->starts_with("0x")) text->remove_prefix(2);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value, base);
  if (error != std::errc()) return std::nullopt;
  text->remove_prefix(static_cast<size_t>(end - text->data()));
  return value;
}

bool TakeWord(std::string_view word, std::string_view* text) {
  text->remove_prefix(std::min(text->find_first_not_of(" \t"), text->size()));
  if (!text->starts_with(word)) return false;
  text->remove_prefix(word.size());
  return true;
}

// "t*: 13: 6688 [20: 9000]"
struct Counts {
  uint64_t live_count, live_bytes, all_count, all_bytes;
};
std::optional<Counts> ParseCounts(std::string_view line) {
  if (!TakeWord("t*:", &line)) return std::nullopt;
  const auto live_count = TakeNumber(&line, 10);
  const bool first = TakeWord(":", &line);
  const auto live_bytes = TakeNumber(&line, 10);
  const bool second = TakeWord("[", &line);
  const auto all_count = TakeNumber(&line, 10);
  const bool third = TakeWord(":", &line);
  const auto all_bytes = TakeNumber(&line, 10);
  if (!first || !second || !third || !live_count || !live_bytes || !all_count || !all_bytes) return std::nullopt;
  return Counts{*live_count, *live_bytes, *all_count, *all_bytes};
}

class Decoder {
 public:
  explicit Decoder(Profile* profile) : profile_(*profile) {}

  void Run(std::string_view text) {
    ReadHeader(TakeLine(&text));
    ReadModules(text);
    uint32_t node = 0;
    bool in_stack = false;
    while (!text.empty()) {
      const std::string_view line = TakeLine(&text);
      if (line.starts_with("MAPPED_LIBRARIES:")) break;
      if (line.starts_with('@')) {
        node = AddStack(line.substr(1));
        in_stack = true;
      } else if (line.starts_with("t*:")) {
        const std::optional<Counts> counts = ParseCounts(line);
        if (!counts) profile_.losses.Add("lines of a jemalloc profile");
        if (counts && in_stack) AddCounts(node, *counts);
        in_stack = false;
      }
    }
    Finish();
  }

 private:
  void ReadHeader(std::string_view line) {
    line.remove_prefix(std::min(kBegin.size(), line.size()));
    rate_bytes_ = std::clamp<uint64_t>(TakeNumber(&line, 10).value_or(1), 1, format::kMostRateBytes);
    format::Header& header = profile_.header;
    std::copy(std::begin(format::kMagic), std::end(format::kMagic), header.magic);
    header.version = format::kVersion;
    header.state = static_cast<uint32_t>(format::State::kSnapshot);
    header.sampling = static_cast<uint32_t>(rate_bytes_ == 1 ? format::Sampling::kExact : format::Sampling::kFixed);
    header.rates[0].bytes = rate_bytes_;
    header.cgroup_limit_bytes = format::kUnknown;
    profile_.nodes.emplace_back();
  }

  // Lines of /proc/PID/maps; consecutive ones of one file are a module.
  void ReadModules(std::string_view text) {
    const size_t begin = text.find("\nMAPPED_LIBRARIES:");
    if (begin == std::string_view::npos) return profile_.losses.Add("the list of libraries of a jemalloc profile");
    text.remove_prefix(begin + 1);
    TakeLine(&text);
    while (!text.empty()) ReadMapping(TakeLine(&text));
    const auto executable = profile_.modules.empty() ? std::string() : profile_.modules.front().path;
    profile_.blobs.push_back({format::BlobKind::kExecutable, "", executable});
  }

  void ReadMapping(std::string_view line) {
    const auto start = TakeNumber(&line, 16);
    const bool dash = TakeWord("-", &line);
    const auto end = TakeNumber(&line, 16);
    const size_t slash = line.find('/');
    if (!start || !dash || !end || *end <= *start || slash == std::string_view::npos) return;
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    line.remove_prefix(std::min(line.find(' '), line.size()));  // permissions
    const uint64_t offset = TakeNumber(&line, 16).value_or(0);
    const std::string path(line.substr(std::min(line.find('/'), line.size())));
    std::vector<Module>& modules = profile_.modules;
    if (!modules.empty() && modules.back().path == path && modules.back().end <= *start) {
      modules.back().end = *end;
    } else if (modules.size() < format::kNoModule) {
      const uint64_t bias = *start == kFixedBase ? 0 : *start - offset;
      modules.push_back({.start = *start, .end = *end, .bias = bias, .build_id = "", .path = path});
    }
  }

  uint16_t ModuleOf(uint64_t pc) const {
    const std::vector<Module>& modules = profile_.modules;
    const auto found = std::find_if(modules.begin(), modules.end(),
                                    [pc](const Module& module) { return pc >= module.start && pc < module.end; });
    return found == modules.end() ? format::kNoModule : static_cast<uint16_t>(found - modules.begin());
  }

  bool IsJemalloc(uint16_t module) const {
    if (module == format::kNoModule) return false;
    const std::string_view path = profile_.modules[module].path;
    return path.substr(path.rfind('/') + 1).starts_with("libjemalloc");
  }

  // Return addresses, the innermost frame first; that one is taken as it is, as jeprof does.
  uint32_t AddStack(std::string_view addresses) {
    std::vector<uint64_t> pcs;
    while (const std::optional<uint64_t> address = TakeNumber(&addresses, 16)) {
      if (pcs.size() < kMostFrames && *address != 0) pcs.push_back(pcs.empty() ? *address : *address - 1);
    }
    const auto caller = std::find_if(pcs.begin(), pcs.end(), [this](uint64_t pc) { return !IsJemalloc(ModuleOf(pc)); });
    if (caller != pcs.end()) pcs.erase(pcs.begin(), caller);
    uint32_t node = 0;
    for (auto pc = pcs.rbegin(); pc != pcs.rend(); ++pc) {
      const auto [found, added] = nodes_.try_emplace({node, *pc}, static_cast<uint32_t>(profile_.nodes.size()));
      if (added) profile_.nodes.push_back({.pc = *pc, .parent = node, .module = ModuleOf(*pc), .flags = 0});
      node = found->second;
    }
    return node;
  }

  // What one sampled object of the average size stands for: the interval to the next sample is exponential, for objects
  // of every size (jeprof, AdjustSamples). A rate of 1 means that all are there.
  double Scale(uint64_t count, uint64_t bytes) const {
    if (count == 0 || rate_bytes_ == 1) return 1;
    const double size = std::max(static_cast<double>(bytes) / static_cast<double>(count), 1.0);
    return 1 / -std::expm1(-size / static_cast<double>(rate_bytes_));
  }

  void AddCounts(uint32_t node, const Counts& counts) {
    SiteCounts& site = sites_[node];
    site.node = node;
    // Without prof_accum there are no sums over all time: what lives was allocated for sure.
    const bool has_sums = counts.all_count > 0;
    profile_.has_sums &= has_sums || counts.live_count == 0;
    const uint64_t count = has_sums ? counts.all_count : counts.live_count;
    const uint64_t bytes = has_sums ? counts.all_bytes : counts.live_bytes;
    const double scale = Scale(count, bytes);
    const double all = static_cast<double>(count) * scale;
    site.alloc_count_q16 = SaturatingAdd(site.alloc_count_q16, RoundToUint(all * format::kCountOne));
    site.alloc_bytes = SaturatingAdd(site.alloc_bytes, RoundToUint(static_cast<double>(bytes) * scale));
    AddBlocks(node, counts.live_count, counts.live_bytes);
  }

  // Below the rate an object is as likely to be recorded as one of ours, see format::WeightOf, and stands for as much.
  // From there on ours are certain and jemalloc's are not: those that were missed are added.
  void AddBlocks(uint32_t node, uint64_t count, uint64_t bytes) {
    if (count == 0) return;
    const bool small = bytes / count < rate_bytes_;
    const uint64_t wanted = small ? count : RoundToUint(static_cast<double>(count) * Scale(count, bytes));
    const uint64_t made = std::min(wanted, kMostBlocks - profile_.live.size());
    profile_.losses.Add("live blocks of a jemalloc profile", wanted - made);
    for (uint64_t i = 0; i < made; ++i)
      AddBlock(node, bytes / count + (i < bytes % count ? 1 : 0), small ? rate_bytes_ : 1);
  }

  void AddBlock(uint32_t node, uint64_t size, uint64_t rate_bytes) {
    const format::Weight weight = format::WeightOf(size, rate_bytes);
    live_count_q16_ = SaturatingAdd(live_count_q16_, weight.count_q16);
    profile_.totals.live_bytes = SaturatingAdd(profile_.totals.live_bytes, weight.bytes);
    // The address is unknown; it only has to be another one each time.
    profile_.live.push_back(
        {.address = profile_.live.size() + 1, .size = size, .birth = 0, .rate_bytes = rate_bytes, .node = node});
  }

  void Finish() {
    Totals& totals = profile_.totals;
    uint64_t allocations_q16 = 0;
    for (auto& [node, site] : sites_) {
      allocations_q16 = SaturatingAdd(allocations_q16, site.alloc_count_q16);
      totals.allocated_bytes = SaturatingAdd(totals.allocated_bytes, site.alloc_bytes);
      profile_.sites.push_back(site);
    }
    totals.allocations = allocations_q16 / format::kCountOne;
    totals.live_allocations = live_count_q16_ / format::kCountOne;
    totals.frees = Excess(totals.allocations, totals.live_allocations);
    totals.freed_bytes = Excess(totals.allocated_bytes, totals.live_bytes);
    profile_.work_bytes = totals.allocated_bytes;
    profile_.has_history = false;
  }

  Profile& profile_;
  uint64_t rate_bytes_ = 1;
  uint64_t live_count_q16_ = 0;
  std::map<std::pair<uint32_t, uint64_t>, uint32_t> nodes_;  // by parent and pc
  std::map<uint32_t, SiteCounts> sites_;                     // by node
};

}  // namespace

bool IsJemallocProfile(std::string_view begin) { return begin.starts_with(kBegin); }

Profile DecodeJemallocProfile(const std::string& name, std::string_view text) {
  Profile profile;
  profile.file_name = name;
  Decoder(&profile).Run(text);
  return profile;
}

}  // namespace memtrace::tools
