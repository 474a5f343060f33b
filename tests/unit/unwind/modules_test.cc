#include "libmemtrace/unwind/modules.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "libmemtrace/format/tables.h"

namespace memtrace::unwind {
namespace {

uintptr_t AddressIn(void* library) { return reinterpret_cast<uintptr_t>(dlsym(library, "MemtraceLazyEntry")); }

std::string PathOf(int module) { return ModuleAt(static_cast<uint32_t>(module)).path; }

// What the loader says is the oracle.
int CompareWithLoader(dl_phdr_info* info, size_t, void* count) {
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0) continue;
    const uintptr_t address = info->dlpi_addr + segment.p_vaddr + segment.p_memsz / 2;
    const int index = FindModule(address);
    EXPECT_NE(index, format::kNoModule) << info->dlpi_name;
    if (index == format::kNoModule) continue;
    const Module& module = ModuleAt(static_cast<uint32_t>(index));
    EXPECT_EQ(module.bias, info->dlpi_addr);
    EXPECT_TRUE(module.code.Contains(address));
    EXPECT_FALSE(module.closed);
    EXPECT_GT(module.first_seen, 0u);
    for (int j = 0; j < info->dlpi_phnum; ++j) {
      const ElfW(Phdr)& other = info->dlpi_phdr[j];
      if (other.p_type != PT_GNU_EH_FRAME) continue;
      EXPECT_EQ(module.tables.header, info->dlpi_addr + other.p_vaddr);
    }
    EXPECT_EQ(module.path_bytes, std::strlen(module.path));
    ++*static_cast<int*>(count);
  }
  return 0;
}

TEST(UnwindModules, AgreesWithTheLoaderAboutEveryModule) {
  int count = 0;
  dl_iterate_phdr(CompareWithLoader, &count);
  EXPECT_GE(count, 4);  // the program, libc, the dynamic linker, the vDSO
}

TEST(UnwindModules, FindsBuildIds) {
  const int libc = FindModule(reinterpret_cast<uintptr_t>(&getpid));
  ASSERT_NE(libc, format::kNoModule);
  EXPECT_EQ(ModuleAt(static_cast<uint32_t>(libc)).build_id_bytes, 20u);
}

TEST(UnwindModules, UnloadedModulesAreClosedAndNotReused) {
  const std::string copy =
      std::filesystem::temp_directory_path() / ("memtrace unwind " + std::to_string(getpid()) + ".so");
  std::filesystem::copy_file(MEMTRACE_LAZY_LIBRARY, copy, std::filesystem::copy_options::overwrite_existing);
  void* library = dlopen(copy.c_str(), RTLD_LAZY);
  ASSERT_NE(library, nullptr) << dlerror();
  const uintptr_t address = AddressIn(library);
  std::filesystem::remove(copy);
  const int first = FindModule(address);
  ASSERT_NE(first, format::kNoModule);
  EXPECT_EQ(PathOf(first), copy) << "a deleted file keeps its name";
  ForgetUnloadedModules();
  EXPECT_FALSE(ModuleAt(static_cast<uint32_t>(first)).closed);
  const uint32_t generation = ModuleGeneration();
  dlclose(library);
  ForgetUnloadedModules();
  EXPECT_TRUE(ModuleAt(static_cast<uint32_t>(first)).closed);
  EXPECT_GT(ModuleAt(static_cast<uint32_t>(first)).closed_ns, 0u);
  EXPECT_EQ(ModuleGeneration(), generation + 1);
  EXPECT_EQ(FindModule(address), format::kNoModule);
  library = dlopen(MEMTRACE_LAZY_LIBRARY, RTLD_LAZY);
  ASSERT_NE(library, nullptr) << dlerror();
  const int second = FindModule(AddressIn(library));
  EXPECT_GT(second, first);
  EXPECT_EQ(PathOf(second), std::filesystem::canonical(MEMTRACE_LAZY_LIBRARY));
  dlclose(library);
  ForgetUnloadedModules();
}

TEST(UnwindModules, TellsJitCodeFromDataAndNothing) {
  uint16_t module = 0;
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* memory = mmap(nullptr, 3 * page, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  const auto address = reinterpret_cast<uintptr_t>(memory);
  mprotect(memory, page, PROT_READ | PROT_EXEC);
  EXPECT_EQ(FindCode(address + 16, &module), Code::kAnonymous);
  EXPECT_EQ(module, format::kNoModule);
  EXPECT_EQ(FindCode(address + page + 16, &module), Code::kAnonymous) << "the same reservation";
  munmap(memory, 3 * page);
  int on_stack = 0;
  EXPECT_EQ(FindCode(reinterpret_cast<uintptr_t>(&on_stack), &module), Code::kNone);
  EXPECT_EQ(FindCode(0, &module), Code::kNone);
  EXPECT_EQ(FindCode(~uintptr_t{0}, &module), Code::kNone);
  EXPECT_EQ(FindCode(0x8000000000000000, &module), Code::kNone) << "not canonical";
}

TEST(UnwindModules, ScatteredJitCodeStaysCheap) {
  // 200 mappings that nothing joins; then a library must still be found when the second is over.
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  auto* area = static_cast<char*>(mmap(nullptr, 400 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(area, MAP_FAILED);
  for (size_t i = 0; i < 200; ++i) {
    munmap(area + (2 * i + 1) * page, page);
    mprotect(area + 2 * i * page, page, PROT_READ | PROT_EXEC);
  }
  uint16_t module;
  for (size_t i = 0; i < 200; ++i) {
    EXPECT_EQ(FindCode(reinterpret_cast<uintptr_t>(area) + 2 * i * page + 8, &module), Code::kAnonymous);
  }
  munmap(area, 400 * page);
  ForgetUnloadedModules();
  EXPECT_NE(FindModule(reinterpret_cast<uintptr_t>(&getpid)), format::kNoModule);
}

// In a child that sees no /proc. Exits with 0 if what is found there is what the parent found.
void FindWithoutProc(const std::string& directory, uintptr_t address, const Module& expected) {
  if (chroot(directory.c_str()) != 0) _exit(77);
  const int found = FindModule(address);
  if (found == format::kNoModule) _exit(1);
  const Module& module = ModuleAt(static_cast<uint32_t>(found));
  if (module.bias != expected.bias || module.path_bytes != 0) _exit(2);
  if (module.tables.header != expected.tables.header || module.tables.entries != expected.tables.entries) _exit(3);
  if (module.build_id_bytes != expected.build_id_bytes) _exit(4);
  uint16_t none;
  if (FindCode(reinterpret_cast<uintptr_t>(&none), &none) == Code::kModule) _exit(5);
  _exit(0);
}

TEST(UnwindModules, FoundInMemoryWithoutProc) {
  void* library = dlopen(MEMTRACE_LAZY_LIBRARY, RTLD_LAZY);
  ASSERT_NE(library, nullptr) << dlerror();
  const uintptr_t address = AddressIn(library);
  const std::string directory = std::filesystem::temp_directory_path() / ("memtrace root " + std::to_string(getpid()));
  std::filesystem::create_directory(directory);
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  // The child must not know the module yet, and needs what the parent knows about it.
  static Module* expected =
      static_cast<Module*>(mmap(nullptr, sizeof(Module), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  const pid_t child = fork();
  if (child == 0) {
    char byte;
    if (read(ready[0], &byte, 1) != 1) _exit(6);
    FindWithoutProc(directory, address, *expected);
  }
  const int index = FindModule(address);
  ASSERT_NE(index, format::kNoModule);
  std::memcpy(static_cast<void*>(expected), &ModuleAt(static_cast<uint32_t>(index)), sizeof(Module));
  ASSERT_EQ(write(ready[1], "x", 1), 1);
  int status = -1;
  waitpid(child, &status, 0);
  std::filesystem::remove(directory);
  dlclose(library);
  ForgetUnloadedModules();
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) GTEST_SKIP() << "chroot needs privileges";
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace memtrace::unwind
