#include "injector/container_root.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>

namespace memtrace::injector {
namespace {

namespace fs = std::filesystem;

class ContainerRootTest : public testing::Test {
 protected:
  ContainerRootTest() {
    std::string pattern = testing::TempDir() + "/root-XXXXXX";
    outside_ = mkdtemp(pattern.data());
    inside_ = outside_ + "/inside";
    fs::create_directories(inside_ + "/etc");
    std::ofstream(outside_ + "/secret") << "secret";
    std::ofstream(inside_ + "/etc/plain") << "plain";
  }
  ~ContainerRootTest() override { fs::remove_all(outside_); }

  std::string Content(const std::string& path) const {
    const Descriptor file = ContainerRoot(inside_).OpenFile(path);
    char buffer[64];
    const ssize_t size = file.ok() ? read(file.get(), buffer, sizeof(buffer)) : -1;
    return size < 0 ? "refused" : std::string(buffer, static_cast<size_t>(size));
  }

  std::string outside_;
  std::string inside_;
};

TEST_F(ContainerRootTest, PathsAndLinksEndInside) {
  fs::create_symlink("/etc/plain", inside_ + "/absolute");
  fs::create_symlink("../../../../etc/plain", inside_ + "/etc/upwards");
  fs::create_symlink(outside_ + "/secret", inside_ + "/out");
  fs::create_symlink("../../secret", inside_ + "/etc/out");
  EXPECT_EQ(Content("/etc/plain"), "plain");
  EXPECT_EQ(Content("/../../etc/plain"), "plain");
  EXPECT_EQ(Content("/absolute"), "plain");
  EXPECT_EQ(Content("/etc/upwards"), "plain");
  EXPECT_EQ(Content("/out"), "refused");
  EXPECT_EQ(Content("/etc/out"), "refused");
  EXPECT_EQ(Content("/../secret"), "refused");
}

TEST_F(ContainerRootTest, OnlyRegularFilesAreOpened) {
  ASSERT_EQ(mkfifo((inside_ + "/fifo").c_str(), 0600), 0);
  EXPECT_EQ(Content("/fifo"), "refused");  // and nobody waits
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(Content("/etc"), "refused");
  EXPECT_FALSE(ContainerRoot(inside_).OpenDirectory("/etc/plain").ok());
  EXPECT_TRUE(ContainerRoot(inside_).OpenDirectory("/etc").ok());
}

TEST_F(ContainerRootTest, CopiesAreBoundedAndReplaceNothing) {
  const auto open_plain = [this] { return ContainerRoot(inside_).OpenFile("/etc/plain"); };
  EXPECT_EQ(CopyFile(open_plain(), outside_ + "/copy", 100), 0);
  EXPECT_EQ(CopyFile(open_plain(), outside_ + "/copy", 100), EEXIST);
  EXPECT_EQ(CopyFile(open_plain(), outside_ + "/cut", 3), EFBIG);
  EXPECT_EQ(fs::file_size(outside_ + "/cut"), 3u);
  fs::create_symlink(outside_ + "/target", outside_ + "/link");
  EXPECT_EQ(CopyFile(open_plain(), outside_ + "/link", 100), EEXIST);
  EXPECT_FALSE(fs::exists(outside_ + "/target"));
}

TEST(PrintableTest, ShowsWhatATerminalWouldObey) {
  EXPECT_EQ(Printable("plain text, gr\xc3\xbc\xc3\x9f"), "plain text, gr\xc3\xbc\xc3\x9f");
  EXPECT_EQ(Printable("\x1b[2J\r\n\x07"), "\\x1b[2J\\x0d\\x0a\\x07");
  EXPECT_EQ(Printable("\xc2\x9b"
                      "31m"),
            "\\xc2\\x9b31m");  // CSI as one character
  EXPECT_EQ(Printable("\xff\xc3("), "\\xff\\xc3(");
  EXPECT_EQ(Printable("\xe0\x80\x9b"), "\\xe0\\x80\\x9b");  // ESC in an overlong form
  EXPECT_EQ(Printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(Printable(std::string("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(Printable("abcdef", 3), "abc...");
}

}  // namespace
}  // namespace memtrace::injector
