#include "tools/evidence/stamp.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "tools/evidence/text.h"

namespace memtrace::tools {
namespace {

constexpr std::string_view kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
constexpr std::string_view kWeekdays[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};

std::optional<unsigned> ConsumeMonth(std::string_view* text) {
  for (unsigned i = 0; i < 12; ++i)
    if (Consume(text, kMonths[i])) return i + 1;
  return std::nullopt;
}

void ConsumeWeekday(std::string_view* text) {
  std::string_view rest = *text;
  for (const std::string_view day : kWeekdays) {
    if (!Consume(&rest, day)) continue;
    Consume(&rest, ",");
    ConsumeBlanks(&rest);
    *text = rest;
    return;
  }
}

std::optional<int64_t> EpochSeconds(uint64_t year, uint64_t month, uint64_t day) {
  if (year > 9999 || month < 1 || month > 12 || day < 1 || day > 31) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(year)),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_seconds(std::chrono::sys_days(date)).time_since_epoch().count();
}

struct ClockTime {
  int64_t seconds;
  int64_t nanoseconds;
};

// "03:23:05.133000386"
std::optional<ClockTime> ConsumeClock(std::string_view* text) {
  std::string_view rest = *text;
  const auto hour = ConsumeNumber(&rest);
  if (!hour || *hour > 23 || !Consume(&rest, ":")) return std::nullopt;
  const auto minute = ConsumeNumber(&rest);
  if (!minute || *minute > 59 || !Consume(&rest, ":")) return std::nullopt;
  const auto second = ConsumeNumber(&rest);
  if (!second || *second > 60) return std::nullopt;
  int64_t nanoseconds = 0;
  if (rest.size() > 1 && (rest[0] == '.' || rest[0] == ',') && IsDigit(rest[1])) {
    rest.remove_prefix(1);
    int64_t scale = 100000000;
    while (!rest.empty() && IsDigit(rest.front())) {
      nanoseconds += (rest.front() - '0') * scale;
      scale /= 10;
      rest.remove_prefix(1);
    }
  }
  *text = rest;
  return ClockTime{static_cast<int64_t>(*hour * 3600 + *minute * 60 + *second), nanoseconds};
}

// "Z", "+08:00", "+0800", " -0500 EST", " UTC": seconds east of Greenwich.
std::optional<int64_t> ConsumeZone(std::string_view* text) {
  std::string_view rest = *text;
  ConsumeBlanks(&rest);
  if (Consume(&rest, "Z") || Consume(&rest, "UTC") || Consume(&rest, "GMT")) {
    *text = rest;
    return 0;
  }
  if (rest.size() < 5 || (rest[0] != '+' && rest[0] != '-')) return std::nullopt;
  const int64_t sign = rest[0] == '-' ? -1 : 1;
  rest.remove_prefix(1);
  std::string digits;
  while (!rest.empty() && digits.size() < 4 && (IsDigit(rest.front()) || rest.front() == ':')) {
    if (rest.front() != ':') digits += rest.front();
    rest.remove_prefix(1);
  }
  const auto number = WholeNumber(digits);
  if (!number || digits.size() != 4) return std::nullopt;
  *text = rest;
  return sign * static_cast<int64_t>(*number / 100 * 3600 + *number % 100 * 60);
}

struct DateTime {
  int64_t local_s = 0;  // as if it were UTC
  int64_t nanoseconds = 0;
  std::optional<int64_t> zone_s;
  bool has_year = true;
  std::optional<int64_t> unix_ns() const {
    constexpr int64_t kYear1971 = 365 * int64_t{86400};
    constexpr int64_t kYear2255 = 285 * 365 * int64_t{86400};  // nanoseconds end in 2262
    if (!zone_s || !has_year || local_s < kYear1971 || local_s > kYear2255) return std::nullopt;
    return (local_s - *zone_s) * 1000000000 + nanoseconds;
  }
};

// "2021-07-26T03:23:05.133Z", "2021-06-30 10:15:00 +0000 UTC"
std::optional<DateTime> ConsumeIso(std::string_view* text) {
  std::string_view rest = *text;
  const auto year = ConsumeNumber(&rest);
  if (!year || text->size() - rest.size() != 4 || !Consume(&rest, "-")) return std::nullopt;
  const auto month = ConsumeNumber(&rest);
  if (!month || !Consume(&rest, "-")) return std::nullopt;
  const auto day = ConsumeNumber(&rest);
  if (!day || (!Consume(&rest, "T") && !Consume(&rest, " "))) return std::nullopt;
  const auto clock = ConsumeClock(&rest);
  const auto days = EpochSeconds(*year, *month, *day);
  if (!clock || !days) return std::nullopt;
  DateTime result{*days + clock->seconds, clock->nanoseconds, ConsumeZone(&rest), true};
  *text = rest;
  return result;
}

// "May 15 23:09:27", "May 15 23:09:27 2020", "29 Apr 2025 13:43:32 +0800"
std::optional<DateTime> ConsumeWordy(std::string_view* text) {
  std::string_view rest = *text;
  auto day = ConsumeNumber(&rest);
  ConsumeBlanks(&rest);
  const auto month = ConsumeMonth(&rest);
  if (!month) return std::nullopt;
  ConsumeBlanks(&rest);
  std::optional<uint64_t> year;
  const bool day_first = day.has_value();
  if (day_first) {
    year = ConsumeNumber(&rest);
  } else {
    day = ConsumeNumber(&rest);
  }
  ConsumeBlanks(&rest);
  const auto clock = ConsumeClock(&rest);
  if (!day || !clock) return std::nullopt;
  std::optional<int64_t> zone = ConsumeZone(&rest);
  if (!year) {  // `date` writes "10:30:00 UTC 2024"
    std::string_view tail = rest;
    ConsumeBlanks(&tail);
    year = ConsumeNumber(&tail);
    if (year && *year >= 1970 && *year <= 9999) {
      rest = tail;
    } else {
      year.reset();
    }
  }
  const auto days = EpochSeconds(year.value_or(1972), *month, *day);
  if (!days) return std::nullopt;
  *text = rest;
  return DateTime{*days + clock->seconds, clock->nanoseconds, zone, year.has_value()};
}

// The first date in `text`, which is then what follows it.
std::optional<DateTime> FindDate(std::string_view* text, std::string_view* written) {
  for (size_t i = 0; i < text->size(); ++i) {
    const char c = (*text)[i];
    if (i > 0 && ((*text)[i - 1] == '.' || IsDigit((*text)[i - 1]))) continue;
    if (!IsDigit(c) && (c < 'A' || c > 'W')) continue;
    std::string_view rest = text->substr(i);
    ConsumeWeekday(&rest);
    std::optional<DateTime> date = ConsumeIso(&rest);
    if (!date) date = ConsumeWordy(&rest);
    if (!date) continue;
    *written = Trim(text->substr(i, text->size() - i - rest.size()));
    *text = rest;
    return date;
  }
  return std::nullopt;
}

// "[  514.682838]", "[  514.682838 <    0.000003>]" of dmesg -d
std::optional<double> FindUptime(std::string_view prefix) {
  for (size_t at = prefix.find('['); at != std::string_view::npos; at = prefix.find('[', at + 1)) {
    std::string_view rest = prefix.substr(at + 1);
    ConsumeBlanks(&rest);
    const std::string_view number = rest;
    const auto value = ConsumeDecimal(&rest);
    if (value && (rest.starts_with("]") || rest.starts_with(" <")) &&
        Contains(number.substr(0, number.size() - rest.size()), "."))
      return value;
  }
  return std::nullopt;
}

// "6,727,35945901675,-;text" of /dev/kmsg: priority, sequence, microseconds
std::optional<double> KmsgUptime(std::string_view prefix) {
  prefix = SkipQuoteMarks(prefix);
  const size_t sender = prefix.substr(0, prefix.find(';')).rfind(' ');  // "10.0.0.7:6666 " of netconsole's listener
  if (sender != std::string_view::npos) prefix.remove_prefix(sender + 1);
  if (!ConsumeNumber(&prefix) || !Consume(&prefix, ",") || !ConsumeNumber(&prefix) || !Consume(&prefix, ",")) {
    return std::nullopt;
  }
  const auto microseconds = ConsumeNumber(&prefix);
  if (!microseconds || !prefix.starts_with(",") || !Contains(prefix, ";")) return std::nullopt;
  return static_cast<double>(*microseconds) / 1e6;
}

// "[dim. 19 avril 18:03:30 2026]": a language that we do not know still has a clock in it.
void TakeBracketedText(std::string_view prefix, Stamp* stamp) {
  const auto inside = Between(prefix, "[", "]");
  if (!inside) return;
  for (const std::string_view word : SplitWords(*inside)) {
    std::string_view rest = word;
    const auto clock = ConsumeClock(&rest);
    if (!clock) continue;
    stamp->moment.text = *inside;
    stamp->clock_s = static_cast<double>(clock->seconds);
    return;
  }
}

// "I0303 04:05:06.123456" of Go's services, "03-03 04:05:06.123" of Android
bool IsShortDate(std::string_view rest) {
  if (Contains("IWEF", rest.substr(0, 1))) rest.remove_prefix(1);
  const auto is_digit = [&rest](size_t at) { return at < rest.size() && IsDigit(rest[at]); };
  if (!is_digit(0) || !is_digit(1)) return false;
  const size_t second = rest[2 < rest.size() ? 2 : 0] == '-' ? 3 : 2;
  if (!is_digit(second) || !is_digit(second + 1)) return false;
  rest.remove_prefix(second + 2);
  return Consume(&rest, " ") && ConsumeClock(&rest).has_value();
}

bool StampIsNext(std::string_view rest) {
  if (rest.empty()) return false;
  if (IsShortDate(rest)) return true;
  if (rest.front() == '[' || rest.front() == '<') {
    const size_t end = rest.find_first_of("]>");
    return end != std::string_view::npos && end > 1 && rest.find_first_of("0123456789") < end;
  }
  if (Contains(rest, " kernel:") || KmsgUptime(rest)) return true;
  std::string_view date = rest;
  ConsumeWeekday(&date);
  return ConsumeIso(&date) || ConsumeWordy(&date) || Contains(rest, ": kern:") || rest.starts_with("kern ");
}

}  // namespace

std::string OriginOf(std::string_view prefix) {
  std::string origin;
  const size_t kernel = prefix.find(" kernel:");
  if (kernel != std::string_view::npos) {
    const std::string_view before = Trim(prefix.substr(0, kernel));
    const size_t blank = before.rfind(' ');
    origin = before.substr(blank == std::string_view::npos ? 0 : blank + 1);
  }
  const size_t caller = prefix.rfind("][");
  if (caller != std::string_view::npos) {
    std::string_view id = prefix.substr(caller + 2);
    ConsumeBlanks(&id);
    const size_t end = id.find(']');
    if (end != std::string_view::npos && end > 1 && (id[0] == 'T' || id[0] == 'C') &&
        WholeNumber(id.substr(1, end - 1)))
      origin += "/" + std::string(id.substr(0, end));
  }
  return origin;
}

Stamp ParseStamp(std::string_view prefix) {
  Stamp stamp;
  stamp.origin = OriginOf(prefix);
  stamp.moment.uptime_s = FindUptime(prefix);
  if (!stamp.moment.uptime_s) stamp.moment.uptime_s = KmsgUptime(prefix);
  std::string_view rest = prefix;
  std::string_view written;
  if (const auto date = FindDate(&rest, &written)) {
    stamp.moment.unix_ns = date->unix_ns();
    stamp.moment.text = written;
    stamp.clock_s = static_cast<double>(date->local_s) + static_cast<double>(date->nanoseconds) / 1e9;
  } else {
    std::string_view seconds = SkipQuoteMarks(prefix);
    const auto epoch = ConsumeDecimal(&seconds);  // journalctl -o short-unix
    if (epoch && *epoch > 5e8 && *epoch < 9e9 && seconds.starts_with(" ")) {
      stamp.moment.unix_ns = static_cast<int64_t>(std::llround(*epoch * 1e6)) * 1000;
      stamp.clock_s = *epoch;
    } else {
      TakeBracketedText(prefix, &stamp);
    }
  }
  if (stamp.moment.uptime_s) stamp.clock_s = stamp.moment.uptime_s;
  return stamp;
}

bool BeginsWithStamp(std::string_view line) {
  constexpr size_t kLongestPrefix = 160;
  std::string_view rest = SkipQuoteMarks(line).substr(0, kLongestPrefix);
  // Behind what grep puts before it: "17:", "FILE:", "FILE:17:".
  const size_t colon = rest.find(':');
  if (StampIsNext(rest)) return true;
  if (colon == std::string_view::npos || rest.substr(0, colon).find(' ') != std::string_view::npos) return false;
  rest.remove_prefix(colon + 1);
  std::string_view number = rest;
  if (ConsumeNumber(&number) && Consume(&number, ":") && StampIsNext(number)) return true;
  return StampIsNext(rest);
}

bool IsDate(std::string_view text) {
  text = Trim(text);
  ConsumeWeekday(&text);
  return (ConsumeIso(&text) || ConsumeWordy(&text)) && text.empty();
}

std::optional<int64_t> ParseTime(std::string_view text) {
  text = Trim(text);
  ConsumeWeekday(&text);
  std::optional<DateTime> date = ConsumeIso(&text);
  if (!date) date = ConsumeWordy(&text);
  return date ? date->unix_ns() : std::nullopt;
}

Moment MomentOf(std::string_view text) {
  Moment moment;
  text = Trim(text);
  if (text.empty() || text == "null" || text == "<nil>" || text.starts_with("0001-01-01") ||
      text.starts_with("1970-01-01")) {
    return moment;
  }
  moment.unix_ns = ParseTime(text);
  moment.text = text;
  return moment;
}

}  // namespace memtrace::tools
