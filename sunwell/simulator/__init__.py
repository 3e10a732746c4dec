"""A simulated provider on loopback, with its own bill and faults, to test budgets without keys."""

from sunwell.simulator.answer_files import AnswerFiles, AnswerNews, AnswerProblem, answers_from
from sunwell.simulator.billing import BillEntry, Billing, Clock, ManualClock, SimulatedCall, SimulatedTotal
from sunwell.simulator.faults import Fault, FaultPlan, FaultRule, Occasion, parse_fault
from sunwell.simulator.in_process import InProcessModel, loop_time
from sunwell.simulator.prompt_tokens import Piece, Prompt, piece
from sunwell.simulator.script import Asked, Player, Posed, PosedRequest, Reply, Script
from sunwell.simulator.server import Simulator, running_simulator
from sunwell.simulator.service import SimulatedRequest
from sunwell.simulator.simulated_models import SimulatedModel, echo, minimal
from sunwell.simulator.simulated_prices import PRICE_DATE, PRICES, ModelPrice, ModelRates
from sunwell.simulator.vendor_limits import VendorLimits

__all__ = [
    "PRICES",
    "PRICE_DATE",
    "AnswerFiles",
    "AnswerNews",
    "AnswerProblem",
    "Asked",
    "BillEntry",
    "Billing",
    "Clock",
    "Fault",
    "FaultPlan",
    "FaultRule",
    "InProcessModel",
    "ManualClock",
    "ModelPrice",
    "ModelRates",
    "Occasion",
    "Piece",
    "Player",
    "Posed",
    "PosedRequest",
    "Prompt",
    "Reply",
    "Script",
    "SimulatedCall",
    "SimulatedModel",
    "SimulatedRequest",
    "SimulatedTotal",
    "Simulator",
    "VendorLimits",
    "answers_from",
    "echo",
    "loop_time",
    "minimal",
    "parse_fault",
    "piece",
    "running_simulator",
]
