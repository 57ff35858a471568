/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Is a device needed by the running system?
 */
#ifndef P2P_INUSE_H
#define P2P_INUSE_H

char *pci_in_use(const char *bdf);

#endif
