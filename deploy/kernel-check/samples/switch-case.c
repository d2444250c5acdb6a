/* Narrowed in one case of a switch, compared after it */
#include "kernel.h"

bool stale(struct vm *vm, int mode, void (*work)(struct vm *))
{
	int seq = 0;

	switch (mode) {
	case 1:
		seq = vm->seq;
		break;
	case 2:
		seq = 7;
		break;
	}
	work(vm);
	return seq != vm->seq;
}
