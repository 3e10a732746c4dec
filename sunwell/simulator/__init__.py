"""A provider on loopback, with its own bill and its faults: budgets are tested against it, without keys."""

from sunwell.simulator.billing import Billing, Call, Clock, Entry, ManualClock, Total
from sunwell.simulator.echo import echo, minimal
from sunwell.simulator.faults import Fault, FaultPlan, FaultRule, Occasion, parse_fault
from sunwell.simulator.inprocess import InProcessModel, loop_time
from sunwell.simulator.models import SimulatedModel
from sunwell.simulator.prices import PRICE_DATE, PRICES, ModelPrice, ModelRates
from sunwell.simulator.prompt import Piece, Prompt, piece
from sunwell.simulator.script import Asked, Reply, Script
from sunwell.simulator.server import Simulator, running_simulator
from sunwell.simulator.service import SimulatedRequest

__all__ = [
    "PRICES",
    "PRICE_DATE",
    "Asked",
    "Billing",
    "Call",
    "Clock",
    "Entry",
    "Fault",
    "FaultPlan",
    "FaultRule",
    "InProcessModel",
    "ManualClock",
    "ModelPrice",
    "ModelRates",
    "Occasion",
    "Piece",
    "Prompt",
    "Reply",
    "Script",
    "SimulatedModel",
    "SimulatedRequest",
    "Simulator",
    "Total",
    "echo",
    "loop_time",
    "minimal",
    "parse_fault",
    "piece",
    "running_simulator",
]
