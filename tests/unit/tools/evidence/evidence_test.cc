#include "tools/evidence/evidence.h"

#include <gtest/gtest.h>

namespace memtrace::tools {
namespace {

const std::string kId = std::string(32, '4') + std::string(32, 'b');

TEST(ContainerIdTest, IsFoundInTheFormsOfTheRuntimes) {
  EXPECT_EQ(ContainerIdOf("/docker/" + kId), kId);
  EXPECT_EQ(ContainerIdOf("/system.slice/docker-" + kId + ".scope"), kId);
  EXPECT_EQ(ContainerIdOf("/kubepods.slice/kubepods-pod1_2.slice/cri-containerd-" + kId + ".scope"), kId);
  EXPECT_EQ(ContainerIdOf("/kubepods-pod1.slice:cri-containerd:" + kId), kId);
  EXPECT_EQ(ContainerIdOf("/machine.slice/libpod-" + kId + ".scope/container"), kId);
}

TEST(ContainerIdTest, IsTheLastOne) {
  const std::string outer(64, 'c');
  EXPECT_EQ(ContainerIdOf("/docker/" + outer + "/docker/" + kId), kId);
}

TEST(ContainerIdTest, IsNothingElse) {
  EXPECT_EQ(ContainerIdOf(""), "");
  EXPECT_EQ(ContainerIdOf("/user.slice/user-1000.slice"), "");
  EXPECT_EQ(ContainerIdOf("/docker/" + kId.substr(1)), "");
  EXPECT_EQ(ContainerIdOf("/docker/" + kId + "0"), "");
  EXPECT_EQ(ContainerIdOf("/docker/x" + kId), "");
}

TEST(MemcgStatsTest, GivesBytesWhateverTheUnit) {
  MemcgStats stats;
  stats.values.all = {{"rss", 12}};
  EXPECT_EQ(stats.BytesOf("rss"), 12U);
  stats.in_kb = true;
  EXPECT_EQ(stats.BytesOf("rss"), 12288U);
  EXPECT_EQ(stats.BytesOf("cache"), std::nullopt);
}

TEST(EvidenceTest, NamesPlaces) {
  Evidence evidence;
  EvidenceFile log;
  log.name = "app.log";
  evidence.files.push_back(log);
  EXPECT_EQ(evidence.Where({0, 17}), "app.log:17");
  EXPECT_EQ(evidence.Where({0, 0}), "app.log");
  EXPECT_EQ(evidence.Where({1, 3}), "?");
}

}  // namespace
}  // namespace memtrace::tools
