package oracle

import (
	"bufio"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// canSetClock tells whether setClock works here.
const canSetClock = true

// asksKernel is clock_gettime of a process whose clock is behind, in machine code. It returns what the system call does, and less by as many seconds as
// the byte at asksKernelSeconds says if the wall clock was asked for.
var asksKernel = []byte{
	0xb8, 0xe4, 0x00, 0x00, 0x00, // mov eax, 228: the number of clock_gettime
	0x0f, 0x05, // syscall
	0x85, 0xff, // test edi, edi: CLOCK_REALTIME is 0
	0x75, 0x07, // jnz to ret
	0x48, 0x81, 0x2e, 0x00, 0x00, 0x00, 0x00, // sub qword ptr [rsi], seconds
	0xc3, // ret
}

const asksKernelSeconds = 14

// setClock puts the wall clock of this whole process behind that of the machine, by so many seconds, 127 at most. The process asks for the time in a page that the
// kernel has given it, the vDSO: the code there is replaced, in this process alone. So every time.Now differs, that of the drivers and of the
// runtime too. Timers and all that counts from one moment to another go on as they were: they are of the monotonic clock.
func setClock(behind time.Duration) error {
	memory, err := os.OpenFile("/proc/self/mem", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer memory.Close()
	from, image, err := vdso(memory)
	if err != nil {
		return err
	}
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return err
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(symbols, func(s elf.Symbol) bool { return s.Name == "__vdso_clock_gettime" })
	if i < 0 || symbols[i].Size < uint64(len(asksKernel)) {
		return errors.New("the vDSO has no clock_gettime")
	}
	code := bytes.Clone(asksKernel)
	code[asksKernelSeconds] = byte(behind / time.Second)
	_, err = memory.WriteAt(code, from+int64(symbols[i].Value))
	return err
}

// vdso finds the page and reads it.
func vdso(memory *os.File) (from int64, image []byte, err error) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return 0, nil, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(maps)); lines.Scan(); {
		if !strings.HasSuffix(lines.Text(), "[vdso]") {
			continue
		}
		var end int64
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x", &from, &end); err != nil {
			return 0, nil, err
		}
		image = make([]byte, end-from)
		_, err = memory.ReadAt(image, from)
		return from, image, err
	}
	return 0, nil, errors.New("the process has no vDSO")
}
