# frozen_string_literal: true

# Outcomes, counted by group.
class Table
  GROUPS = {
    "1" => "Framing", "2" => "Pings/pongs", "3" => "Reserved bits", "4" => "Opcodes",
    "5" => "Fragmentation", "6" => "UTF-8", "7" => "Close handling", "9" => "Limits/performance",
    "10" => "Auto-fragmentation", "12" => "Compression", "13" => "Its parameters"
  }.freeze

  # The heads of the columns, and whether an outcome counts there.
  BEHAVIORS = ["OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED", "FAILED", "NOT RUN"].freeze
  GOOD_CLOSES = %w[OK INFORMATIONAL].freeze

  COLUMNS = [*BEHAVIORS, "wrong close", "seconds"].freeze

  def self.title(group) = "#{group} #{GROUPS[group]}".strip

  # Numbers of the cases of each group.
  def self.groups(of_cases)
    of_cases.group_by { |id, _| id[/\A\d+/] }.transform_values { |pairs| pairs.map(&:last) }
  end

  def initialize(outcomes)
    @groups = Table.groups(outcomes)
  end

  def to_s
    rows = @groups.map { |group, outcomes| row(Table.title(group), values(outcomes)) }
    [row("group", COLUMNS), *rows, row("total", values(@groups.values.flatten))].join("\n")
  end

  private

  def values(outcomes)
    counts = BEHAVIORS.map { |name| outcomes.count { |outcome| outcome.behavior == name } }
    wrong = outcomes.reject { |outcome| GOOD_CLOSES.include?(outcome.close) }
    [*counts, wrong.size, format("%.1f", outcomes.sum(&:seconds))]
  end

  def row(title, values)
    cells = values.zip(COLUMNS).map { |value, column| value.to_s.rjust(column.length + 2) }
    format("%-22s", title) + cells.join
  end
end

# The seconds that servers take for each group, side by side: the sums of the least that each case
# took, which is what a busy machine spoils least.
class Timings
  def initialize
    @least = Hash.new { |least, server| least[server] = {} }
  end

  def add(server, outcomes)
    seconds = outcomes.transform_values(&:seconds)
    @least[server].merge!(seconds) { |_, before, now| [before, now].min }
  end

  def to_s
    groups = @least.transform_values { |seconds| sums(seconds) }
    rows = groups.values.first.keys.map do |group|
      row(Table.title(group), groups.values.map { |sums| format("%.1f", sums[group]) })
    end
    [row("group", groups.keys), *rows].join("\n")
  end

  private

  def sums(seconds) = Table.groups(seconds).transform_values(&:sum)

  def row(title, values)
    format("%-22s", title) + values.map { |value| value.rjust(14) }.join
  end
end
