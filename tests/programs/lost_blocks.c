// lost_blocks: blocks that are reached in every way there is, and some that are lost; one function per block, so that
// each is a site. Functions whose names begin with Lose leave no pointer behind. Built a second time with
// LeakSanitizer, which must find the same.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct Node {
  struct Node* next;
  long load[12];
};

// Not static: the compiler must not see that nobody reads them.
void* g_kept;
struct Node* g_list;
char* g_inside;
_Thread_local void* t_kept;
void* g_table;

static pthread_key_t g_key;
static int g_wait[2];  // nothing ever comes
static int g_ready[2];

// An empty asm statement that the compiler believes to read and change its operand.
#define HIDE(pointer) __asm__ volatile("" : "+r"(pointer) : : "memory")
#define NOINLINE __attribute__((noinline))

// Overwrites what dead frames and registers have left on the stack.
static NOINLINE void Scrub(void) {
  volatile char room[16384];
  for (size_t i = 0; i < sizeof(room); ++i) room[i] = 0;
}

static NOINLINE struct Node* NewNode(void) {
  struct Node* node = malloc(sizeof(*node));
  memset(node, 0, sizeof(*node));
  return node;
}

static NOINLINE void KeepInGlobal(void) { g_kept = malloc(24); }
static NOINLINE void KeepInThreadLocal(void) { t_kept = malloc(40); }
static NOINLINE void KeepInKey(void) { pthread_setspecific(g_key, malloc(56)); }
static NOINLINE void KeepInside(void) { g_inside = (char*)malloc(1000) + 500; }
static NOINLINE void KeepInBlock(void) {
  g_list = NewNode();
  g_list->next = NewNode();
  g_list->next->next = NewNode();
}
static NOINLINE void KeepReallocated(void) {
  void** table = malloc(64);
  table[3] = malloc(72);
  table = realloc(table, 400000);
  g_table = table;
}
// LeakSanitizer does not look there.
static NOINLINE void KeepInMapping(void) {
  void** page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) abort();
  page[5] = malloc(184);
}
static NOINLINE void LoseOne(void) {
  void* block = malloc(88);
  HIDE(block);
}
static NOINLINE void LoseLarge(void) {
  void** block = malloc(300000);
  block[7] = block;
  HIDE(block);
}
static NOINLINE void LoseChain(void) {
  struct Node* head = NewNode();
  for (int i = 0; i < 9; ++i) {
    struct Node* before = NewNode();
    before->next = head;
    head = before;
  }
  HIDE(head);
}
static NOINLINE void LoseCycle(void) {
  struct Node* one = malloc(sizeof(*one));
  struct Node* other = malloc(sizeof(*other));
  one->next = other;
  other->next = one;
  HIDE(one);
}
static NOINLINE void LoseReallocated(void) {
  void* block = malloc(104);
  HIDE(block);
  block = realloc(block, 5000);
  HIDE(block);
}
// Its block is free again, but the pointer in it has not been overwritten.
static NOINLINE void LoseBehindFreed(void) {
  void** holder = malloc(2000);
  holder[100] = malloc(120);
  free(holder);
}

static void Wait(void) {
  char byte = 'r';
  if (write(g_ready[1], &byte, 1) != 1) abort();
  while (read(g_wait[0], &byte, 1) == 1) {
  }
}

static NOINLINE void* KeepOnStack(void* unused) {
  (void)unused;
  void* volatile block = malloc(136);
  Wait();
  free(block);
  return NULL;
}

// In a register that functions preserve, and nowhere else, while the thread waits in the kernel.
static NOINLINE void* KeepInRegister(void* unused) {
  (void)unused;
#if defined(__x86_64__)
  register void* block __asm__("r12") = malloc(152);
  HIDE(block);
  const char byte = 'r';
  if (write(g_ready[1], &byte, 1) != 1) abort();
  HIDE(block);
  Scrub();
  HIDE(block);
  char got;
  long result;
  do {
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(0L), "D"((long)g_wait[0]), "S"(&got), "d"(1L)
                     : "rcx", "r11", "memory");
    HIDE(block);
  } while (result == 1);
  free(block);
#else
  void* volatile block = malloc(152);
  Wait();
  free(block);
#endif
  return NULL;
}

static NOINLINE void* LoseInThread(void* unused) {
  LoseOne();
  void* block = malloc(168);
  HIDE(block);
  (void)unused;
  return NULL;
}

static void Start(void* (*function)(void*), int waits) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, function, NULL) != 0) abort();
  char byte;
  if (waits && read(g_ready[0], &byte, 1) != 1) abort();
  if (!waits) pthread_join(thread, NULL);
}

int main(void) {
  if (pipe(g_wait) != 0 || pipe(g_ready) != 0 || pthread_key_create(&g_key, NULL) != 0) abort();
  KeepInGlobal();
  KeepInThreadLocal();
  KeepInKey();
  KeepInside();
  KeepInBlock();
  KeepReallocated();
  KeepInMapping();
  LoseOne();
  LoseLarge();
  LoseChain();
  LoseCycle();
  LoseReallocated();
  LoseBehindFreed();
  Start(LoseInThread, 0);
  Start(KeepOnStack, 1);
  Start(KeepInRegister, 1);
  Scrub();
  puts("ready");
  fflush(stdout);
#ifdef LEAK_SANITIZER
  extern int __lsan_do_recoverable_leak_check(void);
  __lsan_do_recoverable_leak_check();
  _exit(0);
#endif
  char byte;
  while (read(0, &byte, 1) == 1) {
  }
  _exit(0);
}
