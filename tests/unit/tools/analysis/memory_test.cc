#include "tools/analysis/memory.h"

#include <gtest/gtest.h>

#include "tests/unit/tools/recording_builder.h"

namespace memtrace::tools {
namespace {

constexpr uint64_t kMiB = 1 << 20;

RecordingBuilder WithFiles(std::initializer_list<std::pair<const char*, const char*>> cgroup_files) {
  RecordingBuilder builder;
  for (const auto& [name, content] : cgroup_files) builder.AddBlob(format::BlobKind::kCgroupFile, name, content);
  return builder;
}

TEST(MemoryTest, Fields) {
  EXPECT_EQ(FieldOf("anon 5\nfile 77\n", "file"), Bytes(77));
  EXPECT_EQ(FieldOf("file_mapped 5\nfile 77", "file"), Bytes(77));
  EXPECT_EQ(FieldOf("VmRSS:\t     123 kB\n", "VmRSS:"), Bytes(123 * 1024));
  EXPECT_EQ(FieldOf("file\n", "file"), Bytes());
  EXPECT_EQ(FieldOf("", "file"), Bytes());
  EXPECT_EQ(FieldOf("VmRSS: 99999999999999999999 kB", "VmRSS:"), Bytes());
}

TEST(MemoryTest, Version2) {
  RecordingBuilder builder = WithFiles({{"memory.current", "50000000\n"},
                                        {"memory.max", "104857600\n"},
                                        {"memory.peak", "60000000\n"},
                                        {"memory.swap.current", "0\n"},
                                        {"memory.events", "low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\n"},
                                        {"memory.stat",
                                         "anon 30000000\nfile 12000000\nkernel 4000000\nshmem 2000000\n"
                                         "inactive_file 6000000\n"},
                                        {"memory.pressure", "some avg10=1.00\nfull avg10=0.25 avg60=0.1\n"},
                                        {"pids.current", "3\n"},
                                        {"pids.max", "max\n"}});
  builder.AddBlob(format::BlobKind::kCgroupVersion, "", "2");
  const Profile profile = builder.Decode();
  const CgroupFacts facts = ReadCgroupFacts(profile);
  EXPECT_EQ(facts.version, 2);
  EXPECT_EQ(facts.limit_bytes, Bytes(100 * kMiB));
  EXPECT_EQ(facts.usage_bytes, Bytes(50000000));
  EXPECT_EQ(facts.working_set_bytes, Bytes(44000000));
  EXPECT_EQ(facts.peak_bytes, Bytes(60000000));
  EXPECT_EQ(facts.swap_bytes, Bytes(0));
  EXPECT_EQ(facts.oom_events, Bytes(2));
  EXPECT_EQ(facts.oom_kills, Bytes(1));
  EXPECT_EQ(facts.pids, Bytes(3));
  EXPECT_EQ(facts.pids_limit, Bytes());
  EXPECT_EQ(facts.pressure_full_avg10, 0.25);
  const MemoryBridge bridge = BuildBridge(profile, facts);
  EXPECT_EQ(bridge.file_bytes, Bytes(10000000));
  EXPECT_EQ(bridge.shmem_bytes, Bytes(2000000));
  EXPECT_EQ(bridge.kernel_bytes, Bytes(4000000));
  EXPECT_EQ(bridge.other_processes_bytes, Bytes());  // without the process's own files
}

TEST(MemoryTest, Version1WithoutALimit) {
  RecordingBuilder builder = WithFiles({{"memory.usage_in_bytes", "50000000\n"},
                                        {"memory.limit_in_bytes", "9223372036854771712\n"},
                                        {"memory.max_usage_in_bytes", "70000000\n"},
                                        {"memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"},
                                        {"memory.stat",
                                         "cache 1\nrss 2\ntotal_cache 9000000\ntotal_rss 20000000\n"
                                         "total_shmem 1000000\ntotal_inactive_file 5000000\n"}});
  const Profile profile = builder.Decode();
  const CgroupFacts facts = ReadCgroupFacts(profile);
  EXPECT_EQ(facts.limit_bytes, Bytes());
  EXPECT_EQ(facts.working_set_bytes, Bytes(45000000));
  EXPECT_EQ(facts.peak_bytes, Bytes(70000000));
  EXPECT_EQ(facts.oom_kills, Bytes(3));
  EXPECT_EQ(BuildBridge(profile, facts).file_bytes, Bytes(8000000));
}

TEST(MemoryTest, TheSmallestLimitUpwardsCounts) {
  const RecordingBuilder builder = WithFiles({{"memory.max", "max\n"},
                                              {"memory.current", "1000\n"},
                                              {"../memory.max", "5000000\n"},
                                              {"../memory.current", "4000000\n"}});
  const CgroupFacts facts = ReadCgroupFacts(builder.Decode());
  EXPECT_EQ(facts.limit_bytes, Bytes(5000000));
  EXPECT_EQ(facts.usage_bytes, Bytes(4000000));
}

TEST(MemoryTest, AnonymousMemoryIsDividedByWhereBlocksLive) {
  RecordingBuilder builder = WithFiles({{"memory.stat", "anon 100000000\n"}});
  builder.AddBlob(format::BlobKind::kProcFile, "status", "RssAnon:\t   40000 kB\nThreads:\t1\nVmStk:\t     132 kB\n");
  builder.AddBlob(format::BlobKind::kProcFile, "maps",
                  "00400000-00500000 r-xp 00000000 08:01 1 /bin/program\n"
                  "10000000-10400000 rw-p 00000000 00:00 0 [heap]\n"  // 4 MiB
                  "20000000-20200000 rw-p 00000000 00:00 0 \n"        // 2 MiB, holds a block
                  "30000000-40000000 rw-p 00000000 00:00 0 \n");      // somebody else's
  builder.AddLive(0x10000010, kMiB, 0);
  builder.AddLive(0x20000010, kMiB, 0);
  const Profile profile = builder.Decode();
  const MemoryBridge bridge = BuildBridge(profile, ReadCgroupFacts(profile));
  EXPECT_EQ(bridge.native_live_bytes, Bytes(2 * kMiB));
  EXPECT_EQ(bridge.stacks_bytes, Bytes(132 * 1024));
  EXPECT_EQ(bridge.allocator_overhead_bytes, Bytes(4 * kMiB));
  EXPECT_EQ(bridge.other_anon_bytes, Bytes(40000 * 1024 - 6 * kMiB - 132 * 1024));
  EXPECT_EQ(bridge.other_processes_bytes, Bytes(100000000 - 40000 * 1024));
}

TEST(MemoryTest, BesideMoreLiveThanResidentBytesNothingIsKnown) {
  RecordingBuilder builder = WithFiles({{"memory.stat", "anon 100000000\n"}});
  builder.AddBlob(format::BlobKind::kProcFile, "status", "RssAnon:\t   1024 kB\nThreads:\t1\nVmStk:\t     132 kB\n");
  builder.AddBlob(format::BlobKind::kProcFile, "maps", "10000000-10400000 rw-p 00000000 00:00 0 [heap]\n");
  builder.AddLive(0x10000010, 2 * kMiB, 0);  // most of it was never written to
  const Profile profile = builder.Decode();
  const MemoryBridge bridge = BuildBridge(profile, ReadCgroupFacts(profile));
  EXPECT_EQ(bridge.native_live_bytes, Bytes(2 * kMiB));
  EXPECT_EQ(bridge.allocator_overhead_bytes, Bytes());
  EXPECT_EQ(bridge.other_anon_bytes, Bytes());
  EXPECT_EQ(bridge.other_processes_bytes, Bytes(100000000 - kMiB));
}

TEST(MemoryTest, UnknownIsNotZero) {
  const Profile profile = RecordingBuilder().Decode();
  const CgroupFacts facts = ReadCgroupFacts(profile);
  EXPECT_EQ(facts.limit_bytes, Bytes());
  EXPECT_EQ(facts.usage_bytes, Bytes());
  const MemoryBridge bridge = BuildBridge(profile, facts);
  EXPECT_EQ(bridge.allocator_overhead_bytes, Bytes());
  EXPECT_EQ(bridge.file_bytes, Bytes());
  EXPECT_EQ(bridge.native_live_bytes, Bytes(0));  // this one is known
}

}  // namespace
}  // namespace memtrace::tools
