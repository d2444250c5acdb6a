/**
 * The parts of the service's documents that the page reads. Types only.
 *
 * @typedef {'pass' | 'violation' | 'inconclusive' | 'unsupported'} Verdict
 * @typedef {'running' | 'starved' | 'hung' | 'deadlocked'} VcpuState
 *
 * Values of 64 bits are strings of hex digits, such as "0x80000000": a number here has 53 bits.
 *
 * @typedef {object} Reason
 * @property {'cohort' | 'removed_cohort' | 'no_figures' | 'no_control'} kind
 * @property {Verdict} verdict
 * @property {string} sentence without the cohort's name
 * @property {string | null} cohort null where the reason is about the whole fleet
 * @property {string | null} kernel
 *
 * @typedef {object} Stall
 * @property {number} vm
 * @property {number} vcpu
 * @property {VcpuState} state
 * @property {number} page
 * @property {string} invalidate_seq
 * @property {string} snapshot
 * @property {number} tick
 * @property {string} last_progress
 * @property {string | null} incident
 *
 * @typedef {object} Cells
 * @property {number} vcpus_per_cell
 * @property {number[]} hung
 * @property {number[]} starved
 *
 * @typedef {object} Places the VMs whose counters are nearest to one boundary
 * @property {string} boundary
 * @property {number[]} before VMs before it; entry k counts distances of k bits, from 2^(k-1) to 2^k - 1
 * @property {number[]} past VMs past it, likewise; entry 0 counts those at it
 * @property {string | null} nearest_before invalidations that the first VM to cross it still needs; null where none is before it
 *
 * @typedef {object} Host
 * @property {string} kernel_release
 * @property {string} mmu
 * @property {string} cpu
 * @property {number} invalidations_per_second
 * @property {number} until
 * @property {Record<string, string>} expected_crossings
 * @property {string[]} not_covered
 *
 * @typedef {object} Cohort
 * @property {string} name
 * @property {'simulated' | 'host'} kind
 * @property {string} kernel
 * @property {'progress' | 'hang' | 'unsafe_install' | 'stale_mapping' | 'accounting_error' | 'deadlock'} expect
 * @property {number} vms
 * @property {number} first_vm the number of the first VM
 * @property {number} vm_step the distance between the numbers of two VMs that follow each other
 * @property {number} vcpus
 * @property {number} operations
 * @property {number | null} invalidations
 * @property {number | null} guest_accesses the progress of the vCPUs; null where it is not measured
 * @property {number | null} lives_started lives that replaced one that had ended; null where VMs are not replaced
 * @property {number | null} hangs_caught
 * @property {number | null} hangs_missed
 * @property {Record<string, number>} crossings with a fault in flight; a VM that crosses again counts again
 * @property {Record<string, number>} vms_crossed VMs that crossed each boundary at least once
 * @property {string | null} toy_boundary the highest boundary that it crosses, where that is below 2^31
 * @property {Places[]} [counters]
 * @property {{ min: string, median: string, max: string }} invalidate_seq
 * @property {number} vcpus_running
 * @property {number} vcpus_starved
 * @property {number} vcpus_hung
 * @property {number} vcpu_recoveries
 * @property {number} unjustified_retries
 * @property {number} unsafe_installs
 * @property {number} stale_mappings
 * @property {number} accounting_errors
 * @property {boolean} invalidations_paused
 * @property {Verdict} verdict
 * @property {string} reason
 * @property {string[]} failures
 * @property {Stall[]} stalled
 * @property {Host} [host]
 * @property {Cells} [vcpu_cells]
 *
 * @typedef {object} Fleet
 * @property {Verdict} verdict
 * @property {string} evidence what was seen, in one line; empty before anything was
 * @property {Reason[]} reasons empty for a pass
 * @property {string} seed in hex
 * @property {number} [run] its number in the data directory
 * @property {number} interval_seconds between two reports
 * @property {boolean} [watches] whether the service also watches the VMs of its host
 * @property {string} version
 * @property {string} started
 * @property {string} time
 * @property {number} elapsed_seconds
 * @property {number} operations
 * @property {Cohort[]} cohorts
 * @property {number[]} silent_workers
 *
 * @typedef {object} WatchedVm a VM that another process of this host runs
 * @property {string} vm
 * @property {number | null} pid
 * @property {string | null} invalidate_seq in hex; null where it was not read
 * @property {string} crossing when it reaches 2^31, in words
 * @property {string[]} sources
 *
 * @typedef {object} WatchedVcpu
 * @property {string} vm
 * @property {number | null} vcpu null for the sum over the VM's vCPUs
 * @property {string} state
 * @property {string | null} proof of a hang
 * @property {number} since_seconds
 * @property {string | null} cause
 * @property {string[]} reasons
 *
 * @typedef {object} Watched
 * @property {string} [looked_at] absent before the first look
 * @property {string} answered_at by the service's clock, as looked_at is
 * @property {{ sentence: string } | null} kernel
 * @property {WatchedVm[]} vms
 * @property {WatchedVcpu[]} vcpus
 * @property {string[]} unread
 *
 * @typedef {object} Incident
 * @property {string} id
 * @property {number | null} run null until it is recorded
 * @property {'hang' | 'unsafe_install' | 'stale_mapping' | 'accounting_error' | 'deadlock'} kind
 * @property {string} cohort
 * @property {number} vm
 * @property {number | null} vcpu
 * @property {number} tick
 * @property {number | null} page
 * @property {string} invalidate_seq
 * @property {string} snapshot
 * @property {string | null} first_seen
 * @property {string | null} recovered
 * @property {string | null} recovered_by
 * @property {boolean | null} expected null where that is not known
 *
 * @typedef {object} IncidentGroup the incidents of one kind in one cohort and one run
 * @property {number | null} run null until one is recorded
 * @property {string} cohort
 * @property {Incident['kind']} kind
 * @property {number} count
 * @property {string | null} first_seen
 * @property {string | null} newest_seen
 * @property {boolean | null} expected null where that is not known
 *
 * @typedef {object} Step
 * @property {number} tick
 * @property {string} actor
 * @property {string} action
 * @property {string} function of Linux that does it; empty where there is none
 * @property {string} invalidate_seq
 * @property {string | null} snapshot
 * @property {number} in_progress
 * @property {[number, number]} range
 * @property {string} mapped
 * @property {string} verdict
 * @property {string} truth
 * @property {string} explanation
 *
 * @typedef {object} Timeline
 * @property {string} incident
 * @property {string} kernel
 * @property {string} conclusion
 * @property {string} command
 * @property {Step[]} steps
 *
 * @typedef {object} KernelInfo
 * @property {string} name
 * @property {'release' | 'historical_defect' | 'mutant'} group
 * @property {string} expected
 * @property {string} description
 *
 * @typedef {{ interventions: 'open' | 'token' | 'refused', reason: string | null }} Access
 */

export {};
