#include "injector/remote_unwind.h"

#include <elf.h>
#include <libunwind.h>
#include <ucontext.h>

#include <algorithm>
#include <cstring>

// Of libunwind, for unwinders that find the tables by themselves.
extern "C" int UNW_OBJ(dwarf_search_unwind_table)(unw_addr_space_t space, unw_word_t pc, unw_dyn_info_t* table,
                                                  unw_proc_info_t* info, int need_unwind_info, void* argument);
// What libunwind would resume the own process with. The archive that defines it also defines the unwinder of C++
// exceptions a second time.
extern "C" int UNW_OBJ(setcontext)(const ucontext_t*) { return -1; }

namespace memtrace::injector {
namespace {

constexpr size_t kMostFrames = 256;

struct Context {
  const ProcessMemory& memory;
  Registers registers;
  const std::vector<RemoteMapping>& mappings;
};

// .eh_frame_hdr of LSB: version 1, encodings of the pointer to .eh_frame, of the count and of the sorted table. Linkers
// write these and no others.
struct FrameHeader {
  uint8_t version, pointer_encoding, count_encoding, table_encoding;
  int32_t pointer;
  uint32_t count;
};
constexpr uint8_t kPcRelative4 = 0x1b, kUnsigned4 = 0x03, kDataRelative4 = 0x3b;

// The mapping of a file's first byte that belongs to the module around `pc`.
const RemoteMapping* ImageAround(const std::vector<RemoteMapping>& mappings, uint64_t pc) {
  const auto inside = std::find_if(mappings.begin(), mappings.end(), [pc](const auto& m) { return m.Contains(pc); });
  if (inside == mappings.end() || (inside->file.empty() && inside->path != "[vdso]")) return nullptr;
  const RemoteMapping* first = &*inside;
  for (const RemoteMapping& mapping : mappings) {
    if (&mapping == &*inside) break;
    if (!inside->file.empty() && mapping.file == inside->file && first == &*inside) first = &mapping;
  }
  return first;
}

// The table of the module around `pc`.
bool FindTable(const Context& context, uint64_t pc, unw_dyn_info_t* table) {
  const RemoteMapping* image = ImageAround(context.mappings, pc);
  Elf64_Ehdr header;
  if (image == nullptr || !context.memory.ReadObject(image->start, &header) ||
      memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) {
    return false;
  }
  const auto segments = context.memory.ReadArray<Elf64_Phdr>(image->start + header.e_phoff, header.e_phnum, 64);
  const auto first = std::find_if(segments.begin(), segments.end(), [](const auto& s) { return s.p_type == PT_LOAD; });
  const auto frames =
      std::find_if(segments.begin(), segments.end(), [](const auto& s) { return s.p_type == PT_GNU_EH_FRAME; });
  if (first == segments.end() || frames == segments.end()) return false;
  const uint64_t bias = image->start - (first->p_vaddr & ~uint64_t{4095});
  const uint64_t at = bias + frames->p_vaddr;
  FrameHeader found;
  if (!context.memory.ReadObject(at, &found) || found.version != 1 || found.pointer_encoding != kPcRelative4 ||
      found.count_encoding != kUnsigned4 || found.table_encoding != kDataRelative4) {
    return false;
  }
  uint64_t end = 0;
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type == PT_LOAD) end = std::max(end, bias + segment.p_vaddr + segment.p_memsz);
  }
  *table = {};
  table->start_ip = image->start;
  table->end_ip = end;
  table->format = UNW_INFO_FORMAT_REMOTE_TABLE;
  table->u.rti.segbase = at;
  table->u.rti.table_data = at + sizeof(found);
  table->u.rti.table_len = uint64_t{found.count} * 8 / sizeof(unw_word_t);
  return true;
}

int FindProcedure(unw_addr_space_t space, unw_word_t pc, unw_proc_info_t* info, int need, void* argument) {
  unw_dyn_info_t table;
  if (!FindTable(*static_cast<Context*>(argument), pc, &table)) return -UNW_ENOINFO;
  return UNW_OBJ(dwarf_search_unwind_table)(space, pc, &table, info, need, argument);
}

void PutProcedure(unw_addr_space_t, unw_proc_info_t* info, void*) {
  free(info->unwind_info);
  info->unwind_info = nullptr;
}

int NoDynamicInfo(unw_addr_space_t, unw_word_t*, void*) { return -UNW_ENOINFO; }

int AccessMemory(unw_addr_space_t, unw_word_t address, unw_word_t* value, int write, void* argument) {
  if (write != 0 || !static_cast<Context*>(argument)->memory.ReadObject(address, value)) return -UNW_EINVAL;
  return 0;
}

int AccessRegister(unw_addr_space_t, unw_regnum_t number, unw_word_t* value, int write, void* argument) {
  if (write != 0) return -UNW_EINVAL;
  const Registers& r = static_cast<Context*>(argument)->registers;
#if defined(__x86_64__)
  const uint64_t values[] = {r.rax, r.rdx, r.rcx, r.rbx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8,
                             r.r9,  r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rip};
  if (number < 0 || number > UNW_X86_64_RIP) return -UNW_EBADREG;
  *value = values[number];
#else
  if (number < 0 || number > UNW_AARCH64_PC) return -UNW_EBADREG;
  *value = number == UNW_AARCH64_PC ? r.pc : number == UNW_AARCH64_SP ? r.sp : r.regs[number];
#endif
  return 0;
}

int AccessFloat(unw_addr_space_t, unw_regnum_t, unw_fpreg_t*, int, void*) { return -UNW_EBADREG; }
int NoResume(unw_addr_space_t, unw_cursor_t*, void*) { return -UNW_EINVAL; }
int NoName(unw_addr_space_t, unw_word_t, char*, size_t, unw_word_t*, void*) { return -UNW_ENOINFO; }

}  // namespace

RemoteStack UnwindThread(const Tracer& tracer, pid_t thread, const std::vector<RemoteMapping>& mappings) {
  RemoteStack stack;
  Context context{tracer.memory(), {}, mappings};
  if (!tracer.GetRegisters(thread, &context.registers)) return stack;
  unw_accessors_t accessors = {};
  accessors.find_proc_info = &FindProcedure;
  accessors.put_unwind_info = &PutProcedure;
  accessors.get_dyn_info_list_addr = &NoDynamicInfo;
  accessors.access_mem = &AccessMemory;
  accessors.access_reg = &AccessRegister;
  accessors.access_fpreg = &AccessFloat;
  accessors.resume = &NoResume;
  accessors.get_proc_name = &NoName;
  unw_addr_space_t space = unw_create_addr_space(&accessors, 0);
  if (space == nullptr) return stack;
  unw_cursor_t cursor;
  int step = unw_init_remote(&cursor, space, &context);
  while (step >= 0 && stack.frames.size() < kMostFrames) {
    unw_word_t pc = 0;
    if (unw_get_reg(&cursor, UNW_REG_IP, &pc) != 0) break;
    unw_proc_info_t info = {};
    // A frame that no table describes was guessed at, and with it all that follow.
    const bool known = unw_get_proc_info(&cursor, &info) == 0;
    stack.frames.push_back({pc, known ? info.start_ip : 0});
    step = known ? unw_step(&cursor) : -1;
    if (step == 0) {
      stack.whole = true;
      break;
    }
  }
  unw_destroy_addr_space(space);
  return stack;
}

}  // namespace memtrace::injector
