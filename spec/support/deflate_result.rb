# frozen_string_literal: true

# Result of one offer to a server that echoes, as a DeflatePeer tells it.
class DeflateResult
  COMPRESSIBLE = %w[text bytes fragments many].freeze

  attr_reader :url, :offer, :answer

  def initialize(url, offer, told)
    @url = url
    @offer = offer
    @answer, @different, @wire, @close, @error =
      told.values_at("answer", "different", "wire", "close", "error")
  end

  # Faults, where the server has this option.
  def faults(threshold: 860, level: 3, **option)
    name do
      next troubles if troubles.any?
      next ["not answered"] unless answer

      # A level of 0 keeps everything as large as it is, in compressed frames.
      least = level.zero? ? Float::INFINITY : threshold
      @offer.broken_rules(answer, **option.slice(:context_takeover, :window_bits)) +
        not_plain(threshold) + not_compressed(least) +
        wrong_contexts(least, **option.slice(:window_bits))
    end
  end

  # Faults, where nothing was to be agreed.
  def faults_without
    name do
      next troubles if troubles.any?

      [("answered #{answer}" if answer), *not_plain(Float::INFINITY)].compact
    end
  end

  private

  def name = yield.map { |fault| "#{@offer.header}: #{fault}" }

  # Messages that the client did not get back as it should.
  def troubles
    [
      @error,
      ("different: #{@different}" if @different&.any?),
      ("closed with #{@close.inspect}" unless @error || @close == 1000)
    ].compact
  end

  # Steps whose frames must not be compressed, and are.
  def not_plain(threshold)
    sizes.filter_map do |step, (longest, plain)|
      "#{step}: #{received(step)} for #{plain}" unless longest >= [threshold, 1].max ||
                                                       received(step) == plain
    end
  end

  # Steps whose frames must be compressed, and are not.
  def not_compressed(threshold)
    sizes.slice(*COMPRESSIBLE).filter_map do |step, (longest, plain)|
      "#{step}: #{received(step)} for #{plain}" if longest >= threshold &&
                                                   received(step) * 4 > plain
    end
  end

  # Sides that do not do with their contexts what was agreed.
  def wrong_contexts(threshold, window_bits: 15)
    size = DeflatePeer::NOISE.bytesize
    # The server keeps to its own, also where it has not named it.
    most = { "client" => 15, "server" => window_bits }
    sides = { "client" => sent("again") }
    sides["server"] = received("again") if threshold <= size
    sides.filter_map do |side, took|
      refers = takes_over?(side) && 2**[bits(side), most[side]].min > size
      "the #{side}'s context: #{took} for #{size}" unless refers ? took < size / 10 : took >= size
    end
  end

  # The longest message of each step, and all of them in plain frames.
  def sizes
    DeflatePeer::STEPS.transform_values do |messages|
      [messages.map(&:size).max, messages.sum(&:plain_size)]
    end
  end

  def takes_over?(side) = !agreed["#{side}_no_context_takeover"]
  def bits(side) = agreed["#{side}_max_window_bits"] || 15
  def agreed = @agreed ||= DeflateOffer.parse(answer)
  def sent(step) = @wire.fetch(step).first
  def received(step) = @wire.fetch(step).last
end
