# frozen_string_literal: true

module Bench
  # Goals of this project's own servers, as ratios within one run.
  module Goals
    # At most so many times the limit, and at least so many times cheaper than em-websocket.
    Goal = Struct.new(:times_raw, :times_cheaper)

    OURS = {
      "e64p1" => Goal.new(1.35, 8), "e64p16" => Goal.new(2.2, 58), "e1kp16" => Goal.new(2.2, 410),
      "e64kp4" => Goal.new(1.5, 750), "bc8" => Goal.new(1.0, 5.4), "fire" => Goal.new(nil, 100),
      "connect" => Goal.new(1.4, 2.7), "idle" => Goal.new(nil, 1.7),
      "idle1k" => Goal.new(nil, 2.2), "t64p1" => Goal.new(1.3, 7), "t1kp16" => Goal.new(1.3, 210),
      "t64kp4" => Goal.new(1.07, 310), "tconn" => Goal.new(1.1, 7.5), "tidle" => Goal.new(1.5, 3.8)
    }.freeze
    CHANNEL = { "bc8" => Goal.new(1.1, 2), "bc64" => Goal.new(1.3, 12) }.freeze
    ATTACHED = { "e64p1" => Goal.new(nil, 4.5), "e1kp16" => Goal.new(nil, 120) }.freeze

    # @return [Array<String>] a sentence for each goal that this run has an answer to
    def self.verdicts(results)
      peers = { "ours" => OURS, "ours-attached" => ATTACHED, "ours-channel" => CHANNEL }
      peers.flat_map do |peer, goals|
        results.columns.flat_map do |column|
          goal = goals[column.name]
          goal ? [limit(results, column, peer, goal), gain(results, column, peer, goal)] : []
        end
      end.compact
    end

    def self.limit(results, column, peer, goal)
      ratio = goal.times_raw && results.ratio(column, peer, "raw")
      return unless ratio

      verdict(peer, column, ratio.median <= goal.times_raw,
              format("%<is>.2f times raw, at most %<goal>g is asked",
                     is: ratio.median, goal: goal.times_raw))
    end

    def self.gain(results, column, peer, goal)
      ratio = goal.times_cheaper && results.ratio(column, "em-websocket", peer)
      return unless ratio

      verdict(peer, column, ratio.median >= goal.times_cheaper,
              format("%<is>.1f times cheaper than em-websocket, at least %<goal>g is asked",
                     is: ratio.median, goal: goal.times_cheaper))
    end

    def self.verdict(peer, column, reached, text)
      "#{reached ? "reached    " : "falls short"}  #{peer} #{column.name}: #{text}"
    end

    private_class_method :limit, :gain, :verdict
  end
end
