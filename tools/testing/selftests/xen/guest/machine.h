/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the program takes from the architecture.
 */

#ifndef SELFTESTS_XEN_GUEST_MACHINE_H
#define SELFTESTS_XEN_GUEST_MACHINE_H

#include "layout.h"

static const struct guest_orders *const orders = (void *)GUEST_ORDERS;
static struct guest_report *const reports = (void *)GUEST_REPORTS;

/* Of 1, 2 or 4 bytes, each one access. */
unsigned int load(unsigned int addr, int size);
void store(unsigned int addr, int size, unsigned int value);

/* Has a vCPU begin. */
void start_vcpu(unsigned int vcpu);

/* To be called while memory is waited for. */
void relax(void);

/* Calls the function below for each; does not return. */
void take_interrupts(unsigned int self);

void interrupted(unsigned int self);

/* For x86 alone, whose processors have ports. */
void use_device(unsigned int self);

/* For x86 alone: calls it in between, from here on. */
void allow_interrupts(void);
void forbid_interrupts(void);

#endif /* SELFTESTS_XEN_GUEST_MACHINE_H */
