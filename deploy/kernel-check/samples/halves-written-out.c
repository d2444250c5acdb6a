/* Innocent: lower_32_bits() and upper_32_bits() */
#include "kernel.h"

void program(struct vm *vm, u32 *registers)
{
	registers[0] = lower_32_bits(vm->generation);
	registers[1] = upper_32_bits(vm->generation);
}
