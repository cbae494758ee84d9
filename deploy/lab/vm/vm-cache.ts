/** Directory with the kernels, images and snapshots of virtual machines. Safe to remove while no virtual machine runs. */
export const VM_CACHE = "/var/cache/berth-vm";
