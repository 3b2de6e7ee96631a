/* What each descriptor of the process is: a bounded table of bytes. */
#ifndef HOSTMETER_INTERCEPT_DESCRIPTORS_H
#define HOSTMETER_INTERCEPT_DESCRIPTORS_H

#include "page.h"

/* Ask the kernel what `fd` is; KINDS when it is not open. Leaves errno alone. */
enum kind descriptor_ask(int fd);

/* What it is, from the table or else from the kernel, and then remembered in `page`. */
enum kind descriptor_kind(struct page *page, int fd);

/* Remember it, in place of what had the number before. */
void descriptor_remember(struct page *page, int fd, enum kind kind);

/* Forget it and say what it was; KINDS when it was not known. */
enum kind descriptor_forget(struct page *page, int fd);

/* The same for a range: adds to `forgotten`, by kind. */
void descriptor_forget_range(struct page *page, unsigned first, unsigned last,
                             unsigned forgotten[KINDS]);

/* A new program in this process: look at every descriptor that it inherited. */
void descriptors_list(struct page *page);

/* A new process: the table is the parent's, copied; only the page has to learn of it. */
void descriptors_adopt(struct page *page);

#endif
