/* What LLVM's unwinder, compiled for glibc with its checks, asks for and musl has not. */
#include <stdarg.h>
#include <stdio.h>

int __vfprintf_chk(FILE *file, int checks, const char *format, va_list values) {
    return vfprintf(file, format, values);
}

int __vsnprintf_chk(char *text, size_t most, int checks, size_t size, const char *format,
                    va_list values) {
    return vsnprintf(text, most, format, values);
}
