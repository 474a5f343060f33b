#include "tools/common/quantity.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <iterator>
#include <span>

namespace memtrace::tools {
namespace {

struct Unit {
  double size;
  const char* name;
};

// The largest unit that leaves at least one; `units` runs from small to large.
std::string Scaled(double value, std::span<const Unit> units, const char* separator) {
  const Unit* unit = units.data();
  for (const Unit& candidate : units) {
    // 0.9995 of a unit would print as 1000 or 1024.0 of the one below.
    if (value >= candidate.size * 0.9995) unit = &candidate;
  }
  if (unit == units.data()) return fmt::format("{:.0f}{}{}", value / unit->size, separator, unit->name);
  return fmt::format("{:.1f}{}{}", value / unit->size, separator, unit->name);
}

}  // namespace

std::string FormatBytes(uint64_t bytes) {
  static constexpr Unit kUnits[] = {{1, "B"},
                                    {1024.0, "KiB"},
                                    {1024.0 * 1024, "MiB"},
                                    {1024.0 * 1024 * 1024, "GiB"},
                                    {1024.0 * 1024 * 1024 * 1024, "TiB"}};
  return Scaled(static_cast<double>(bytes), kUnits, " ");
}

std::string FormatCount(uint64_t count) {
  static constexpr Unit kUnits[] = {{1, ""}, {1e3, "k"}, {1e6, "M"}, {1e9, "G"}, {1e12, "T"}};
  return Scaled(static_cast<double>(count), kUnits, "");
}

std::string FormatSeconds(double seconds) {
  if (seconds > 0 && seconds < 0.0005) return "<1 ms";
  if (seconds > 0 && seconds < 0.0995) return fmt::format("{:.0f} ms", seconds * 1000);
  if (seconds < 9.95) return fmt::format("{:.1f} s", seconds);
  static constexpr Unit kUnits[] = {{1, "s"}, {60, "min"}, {3600, "h"}, {86400, "days"}, {365.25 * 86400, "years"}};
  return Scaled(seconds, kUnits, " ");
}

std::string FormatShare(double share) {
  const double percent = share * 100;
  if (percent >= 9.95) return fmt::format("{:.0f} %", percent);
  if (percent >= 0.095 || percent <= 0) return fmt::format("{:.1f} %", percent);
  return fmt::format("{:.2g} %", percent);
}

std::string FormatUtc(uint64_t unix_ns) {
  const auto seconds = static_cast<std::time_t>(unix_ns / 1000000000);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(seconds), unix_ns / 1000000 % 1000);
}

std::string FormatHex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) fmt::format_to(std::back_inserter(text), "{:02x}", static_cast<unsigned char>(c));
  return text;
}

}  // namespace memtrace::tools
