#include "libmemtrace/core/module_records.h"

#include <gtest/gtest.h>

#include "libmemtrace/unwind/modules.h"
#include "tests/unit/core/recorded_process.h"

namespace memtrace::core {
namespace {

TEST(ModuleRecordsTest, WhatTheUnwinderMetIsInTheRecording) {
  RecordedProcess process;
  EXPECT_EQ(process.Run({"MEMTRACE_SAMPLE=1"},
                        [] {
                          EXPECT_NE(unwind::FindModule(reinterpret_cast<uintptr_t>(&NoteModules)), format::kNoModule);
                          NoteModules();
                          const uint32_t count = g_process.recording.header().module_count;
                          EXPECT_EQ(count, unwind::ModuleCount());
                          NoteModules();
                          EXPECT_EQ(g_process.recording.header().module_count, count) << "nothing is new";
                          NoteUnloading();
                        }),
            0);
  const tools::Profile profile = process.Recorded();
  ASSERT_FALSE(profile.modules.empty());
  const auto here = reinterpret_cast<uintptr_t>(&NoteModules);  // the same in a forked child
  int found = 0;
  for (const auto& module : profile.modules) {
    if (here < module.start || here >= module.end) continue;
    ++found;
    EXPECT_EQ(module.path, std::filesystem::canonical("/proc/self/exe").string());
    EXPECT_FALSE(module.build_id.empty());
  }
  EXPECT_EQ(found, 1);
}

}  // namespace
}  // namespace memtrace::core
