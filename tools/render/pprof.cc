#include "tools/render/pprof.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <limits>
#include <map>
#include <new>
#include <span>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tools/common/numbers.h"
#include "tools/common/utf8.h"
#include "tools/render/profile.pb.h"
#include "tools/render/target.h"

namespace memtrace::tools {
namespace {

constexpr int64_t Signed(uint64_t value) {
  return static_cast<int64_t>(std::min<uint64_t>(value, std::numeric_limits<int64_t>::max()));
}

// Strings are stored once. Protobuf wants UTF-8.
class Strings {
 public:
  explicit Strings(pprof::Profile* profile) : profile_(*profile) { Index(""); }

  int64_t Index(std::string_view text) {
    const auto [found, added] = known_.try_emplace(std::string(text), profile_.string_table_size());
    if (added) profile_.add_string_table(ValidUtf8(text));
    return found->second;
  }

 private:
  pprof::Profile& profile_;
  std::unordered_map<std::string, int64_t> known_;
};

// The stacks of one recording. Ids count up over all of them.
class StackTable {
 public:
  StackTable(FrameTable* frames, Strings* strings, pprof::Profile* profile)
      : frames_(*frames), strings_(*strings), profile_(*profile) {}

  void AddLocations(uint32_t node, pprof::Sample* sample) {
    const std::vector<uint32_t> stack = frames_.Stack(node);
    for (size_t begin = 0; begin < stack.size();) {
      size_t end = begin + 1;
      while (end < stack.size() && frames_.frame(stack[end - 1]).source.inlined) ++end;
      sample->add_location_id(LocationOf(std::span(stack).subspan(begin, end - begin)));
      begin = end;
    }
  }

  pprof::Mapping* MappingOf(const Module* module) {
    if (module == nullptr) return nullptr;
    const auto [found, added] = mappings_.try_emplace(module, nullptr);
    if (!added) return found->second;
    pprof::Mapping* mapping = found->second = profile_.add_mapping();
    mapping->set_id(static_cast<uint64_t>(profile_.mapping_size()));
    mapping->set_memory_start(module->start);
    mapping->set_memory_limit(module->end);
    mapping->set_filename(strings_.Index(module->path));
    mapping->set_build_id(strings_.Index(module->build_id));
    return mapping;
  }

 private:
  // One address: the inlined frames and the function that they are in.
  uint64_t LocationOf(std::span<const uint32_t> frames) {
    const auto [found, added] = locations_.try_emplace(std::pair(frames.front(), frames.back()),
                                                       static_cast<uint64_t>(profile_.location_size()) + 1);
    if (!added) return found->second;
    pprof::Location* location = profile_.add_location();
    location->set_id(found->second);
    const Frame& outer = frames_.frame(frames.back());
    location->set_address(outer.offset + (outer.module != nullptr ? outer.module->bias : 0));
    pprof::Mapping* mapping = MappingOf(outer.module);
    if (mapping != nullptr) location->set_mapping_id(mapping->id());
    for (const uint32_t index : frames) {
      const SourceFrame& source = frames_.frame(index).source;
      if (source.function.empty()) continue;
      pprof::Line* line = location->add_line();
      line->set_function_id(FunctionOf(source));
      line->set_line(source.line);
      if (mapping == nullptr) continue;
      mapping->set_has_functions(true);
      if (!source.file.empty()) mapping->set_has_filenames(true);
      if (source.line > 0) mapping->set_has_line_numbers(true);
      if (source.inlined) mapping->set_has_inline_frames(true);
    }
    return found->second;
  }

  uint64_t FunctionOf(const SourceFrame& source) {
    const std::string key = source.function + '\0' + source.file;
    const auto [found, added] = functions_.try_emplace(key, static_cast<uint64_t>(profile_.function_size()) + 1);
    if (!added) return found->second;
    pprof::Function* function = profile_.add_function();
    function->set_id(found->second);
    function->set_name(strings_.Index(source.function));
    function->set_system_name(function->name());
    function->set_filename(strings_.Index(source.file));
    return found->second;
  }

  FrameTable& frames_;
  Strings& strings_;
  pprof::Profile& profile_;
  std::map<std::pair<uint32_t, uint32_t>, uint64_t> locations_;
  std::unordered_map<const Module*, pprof::Mapping*> mappings_;
  std::unordered_map<std::string, uint64_t> functions_;
};

struct ValueKind {
  const char* type;
  const char* unit;
  uint64_t Site::*value;
};
constexpr ValueKind kValues[] = {
    {"alloc_objects", "count", &Site::allocations},
    {"alloc_space", "bytes", &Site::allocated_bytes},
    {"inuse_objects", "count", &Site::live_allocations},
    {"inuse_space", "bytes", &Site::live_bytes},
};
constexpr ValueKind kPeak = {"peak_space", "bytes", &Site::peak_bytes};
constexpr ValueKind kTemporary = {"temporary_objects", "count", &Site::temporary_allocations};

std::vector<ValueKind> ValuesOf(Metric metric) {
  std::vector<ValueKind> values(std::begin(kValues), std::end(kValues));
  if (metric == Metric::kPeak) values.push_back(kPeak);
  if (metric == Metric::kTemporary) values.push_back(kTemporary);
  return values;
}

const char* DefaultType(Metric metric) {
  switch (metric) {
    case Metric::kLive:
      return "inuse_space";
    case Metric::kAllocated:
      return "alloc_space";
    case Metric::kPeak:
      return kPeak.type;
    case Metric::kTemporary:
      return kTemporary.type;
  }
  return "";
}

void AddSamples(const SiteTable& table, std::span<const ValueKind> values, bool is_base, StackTable* stacks,
                Strings* strings, pprof::Profile* profile) {
  for (const Site& site : table.sites) {
    pprof::Sample* sample = profile->add_sample();
    stacks->AddLocations(site.node, sample);
    for (const ValueKind& kind : values) sample->add_value((is_base ? -1 : 1) * Signed(site.*kind.value));
    if (!is_base) continue;
    pprof::Label* label = sample->add_label();
    label->set_key(strings->Index("pprof::base"));
    label->set_str(strings->Index("true"));
  }
}

const Module* MainModule(const Profile& profile) {
  const std::string executable = profile.BlobOr(format::BlobKind::kExecutable, "");
  const auto found = std::find_if(profile.modules.begin(), profile.modules.end(),
                                  [&](const Module& module) { return module.path == executable; });
  return found == profile.modules.end() ? nullptr : &*found;
}

}  // namespace

std::string Gzip(const std::string& text) {
  constexpr int kGzip = 16;  // added to the window bits: a gzip header instead of zlib's
  z_stream stream{};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, MAX_WBITS + kGzip, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::bad_alloc();
  std::string packed;
  std::vector<unsigned char> buffer(size_t{1} << 16);
  size_t taken = 0;
  int status = Z_OK;
  while (status == Z_OK) {
    constexpr size_t kStep = size_t{1} << 30;  // zlib counts in 32 bits
    const size_t step = std::min(kStep, text.size() - taken);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data() + taken));
    stream.avail_in = static_cast<uInt>(step);
    stream.next_out = buffer.data();
    stream.avail_out = static_cast<uInt>(buffer.size());
    status = deflate(&stream, taken + step == text.size() ? Z_FINISH : Z_NO_FLUSH);
    taken += step - stream.avail_in;
    packed.append(reinterpret_cast<char*>(buffer.data()), buffer.size() - stream.avail_out);
  }
  deflateEnd(&stream);
  return packed;
}

void WritePprof(const Report& report, Metric metric, std::ostream* out) {
  pprof::Profile profile;
  Strings strings(&profile);
  const std::vector<ValueKind> values = ValuesOf(metric);
  for (const ValueKind& kind : values) {
    pprof::ValueType* type = profile.add_sample_type();
    type->set_type(strings.Index(kind.type));
    type->set_unit(strings.Index(kind.unit));
  }
  profile.set_default_sample_type(strings.Index(DefaultType(metric)));
  profile.mutable_period_type()->set_type(strings.Index("space"));
  profile.mutable_period_type()->set_unit(strings.Index("bytes"));
  profile.set_period(Signed(CurrentRate(report.profile->header).bytes));
  profile.set_time_nanos(Signed(report.end_ns));
  if (report.started_ns != 0) profile.set_duration_nanos(Signed(Excess(report.end_ns, report.started_ns)));
  profile.add_comment(strings.Index(
      fmt::format("memtrace: {} (pid {}), {}", DescribeTarget(report).exe, report.profile->header.pid, report.state)));

  // pprof takes the first mapping for the main program's.
  ResolveStacks(report.table, report.frames.get());
  StackTable stacks(report.frames.get(), &strings, &profile);
  stacks.MappingOf(MainModule(*report.profile));
  AddSamples(report.table, values, false, &stacks, &strings, &profile);
  if (report.baseline) {
    StackTable base(report.baseline->frames.get(), &strings, &profile);
    AddSamples(report.baseline->table, values, true, &base, &strings, &profile);
  }
  *out << Gzip(profile.SerializeAsString());
}

}  // namespace memtrace::tools
