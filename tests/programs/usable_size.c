// usable_size: writes malloc_usable_size of blocks of many sizes and kinds, which the library must not change.
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

int main(void) {
  for (size_t size = 0; size < 100000; size += 1 + size / 7) {
    void* block = malloc(size);
    void* zeroed = calloc(1, size);
    void* aligned = memalign(256, size);
    printf("%zu: %zu %zu %zu", size, malloc_usable_size(block), malloc_usable_size(zeroed),
           malloc_usable_size(aligned));
    block = realloc(block, size + size / 3 + 1);
    printf(" %zu\n", malloc_usable_size(block));
    free(block);
    free(zeroed);
    free(aligned);
  }
  printf("none: %zu\n", malloc_usable_size(NULL));
  return 0;
}
