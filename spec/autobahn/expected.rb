# frozen_string_literal: true

require "json"

# Outcomes that cases are expected to come to: the same for every version and transport.
module Expected
  FILE = File.join(__dir__, "expected.json")

  module_function

  # Differences of outcomes from what is expected, and the cases that do.
  def differences(outcomes)
    different = outcomes.reject { |id, outcome| cases[id] == record_of(outcome) }
    different.keys.group_by do |id|
      "expected #{cases[id]&.values&.join("/") || "nothing"}, got #{outcomes[id]}"
    end
  end

  # Takes these outcomes for what is expected from now on; those of other cases stay.
  def record(outcomes)
    recorded = cases.merge(outcomes.transform_values { |outcome| record_of(outcome) })
    lines = FuzzingClient.cases.filter_map do |id|
      "  #{JSON.generate(id)}: #{JSON.generate(recorded[id])}" if recorded[id]
    end
    File.write(FILE, "{\n#{lines.join(",\n")}\n}\n")
    @cases = nil
  end

  def cases
    @cases ||= File.exist?(FILE) ? JSON.parse(File.read(FILE)) : {}
  end

  def record_of(outcome)
    { "behavior" => outcome.behavior, "behaviorClose" => outcome.close }
  end
end
