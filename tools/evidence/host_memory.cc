#include "tools/evidence/host_memory.h"

#include <algorithm>

#include "tools/evidence/text.h"

namespace memtrace::tools {
namespace {

// "active_anon:123 inactive_anon:456 isolated_anon:0": sums over all nodes, in pages.
constexpr std::string_view kPageNames[] = {
    "active_anon",   "inactive_anon", "isolated_anon", "active_file",      "inactive_file",
    "isolated_file", "unevictable",   "dirty",         "writeback",        "unstable",
    "mapped",        "shmem",         "pagetables",    "slab_reclaimable", "slab_unreclaimable",
    "bounce",        "free",          "free_pcp",      "free_cma",         "kernel_misc_reclaimable",
    "sec_pagetables"};

struct Tail {
  std::string_view text;
  std::string_view name;
};
constexpr Tail kTails[] = {{" total pagecache pages", "total_pagecache_pages"},
                           {" pages in swap cache", "swap_cache_pages"},
                           {" pages RAM", "ram_pages"},
                           {" pages reserved", "reserved_pages"}};

void Put(std::string_view name, uint64_t value, NamedNumbers* host) {
  if (!host->Find(name)) host->all.emplace_back(name, value);
}

}  // namespace

bool TakeHostLine(std::string_view line, NamedNumbers* host) {
  for (const Tail& tail : kTails) {
    const size_t at = line.find(tail.text);
    if (at == std::string_view::npos) continue;
    const size_t begin = line.substr(0, at).find_last_not_of("0123456789") + 1;  // npos + 1 is 0
    const auto value = WholeNumber(line.substr(begin, at - begin));
    if (value) Put(tail.name, *value, host);
    return value.has_value();
  }
  for (const auto& [text, name] : {std::pair("Free swap", "free_swap_kb"), std::pair("Total swap", "total_swap_kb")}) {
    const size_t at = line.find(text);
    if (at == std::string_view::npos) continue;
    std::string_view rest = line.substr(at);
    rest.remove_prefix(std::min(rest.find_first_of("0123456789"), rest.size()));
    const auto value = ConsumeNumber(&rest);
    if (value && rest.starts_with("kB")) Put(name, *value, host);
    return value.has_value();
  }
  if (Contains(line, "Node ") || Contains(line, "kB")) return false;
  bool taken = false;
  for (const std::string_view word : SplitWords(line)) {
    const size_t colon = word.find(':');
    if (colon == std::string_view::npos) continue;
    const auto value = WholeNumber(word.substr(colon + 1));
    const bool known =
        std::find(std::begin(kPageNames), std::end(kPageNames), word.substr(0, colon)) != std::end(kPageNames);
    if (!value || !known) continue;
    Put(word.substr(0, colon), *value, host);
    taken = true;
  }
  return taken;
}

}  // namespace memtrace::tools
