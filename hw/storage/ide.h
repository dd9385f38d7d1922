/*
 * IDE drives as a board sees them: what to put on a channel, their geometry, media control, unplug. The channels sit
 * behind a controller, see ide-piix3.h.
 */
#ifndef THINDM_IDE_H
#define THINDM_IDE_H

#include <thindm/util.h>

struct block;
struct device;

enum { IDE_DRIVES = 4 };

/* One of primary master, primary slave, secondary master, secondary slave. */
struct ide_drive_config {
    bool present, cdrom;
    struct block *block; /* disk: needed; CD-ROM: NULL is an empty drive */
    const char *id;      /* the drive's name for media control; copied; NULL: none */
};

/* Cylinders, heads and sectors per track as a BIOS of an AT sees the disk. */
struct ide_geometry {
    uint32_t cylinders, heads, sectors;
    uint8_t translation; /* 0 none, 1 LBA; as in CMOS byte 39 */
};

/*
 * The geometry of a disk of size_bytes, at most 16383/16/63. It follows from the size alone: what is on the disk
 * doesn't count.
 */
struct ide_geometry ide_guess_geometry(uint64_t size_bytes);

struct ide_drive_info {
    const char *id;
    bool cdrom;
    bool locked, tray_open;    /* CD-ROM */
    struct block *block;       /* the medium, NULL: none; not to be kept */
};

/* Facts about drive i, 0 to IDE_DRIVES - 1, of an IDE controller. False: there is none, or it was unplugged. */
bool ide_drive_info(const struct device *ide, unsigned i, struct ide_drive_info *info);

/*
 * Open the tray of the CD-ROM id, take the medium out and close its back end; what the guest reads just then fails.
 * 0, also if the drive is open or empty; -ENOENT (no such drive), -EINVAL (not removable), -EBUSY (the guest locked the
 * tray: it is told of the wish unless force is true). Waits for requests in flight.
 */
int ide_eject(struct device *ide, const char *id, bool force) WARN_UNUSED;
/*
 * Put block in as the new medium and close the tray; the old medium's back end is closed. Takes block on success only.
 * Errors as for ide_eject(), and -EINVAL too if block needs more than 2048 bytes of alignment.
 */
int ide_change_medium(struct device *ide, const char *id, bool force, struct block *block) WARN_UNUSED;

/*
 * The Xen unplug of emulated disks: requests in flight finish, caches are flushed, images closed, lines go low. CD-ROM
 * drives stay; the controller is reset and decodes no bus master ports until the guest places them again. Holds for
 * the life of the device and is part of its saved state. Repeats harmlessly. May be called from inside another
 * device's register access, waits for the back ends. Source: xen/docs/misc/hvm-emulated-unplug.pandoc.
 */
void ide_unplug_disks(struct device *ide, bool keep_primary_master);

/* Wait until no request is in flight, then flush all disks: before the state is saved and before the process ends. */
void ide_drain(struct device *ide);

#endif
