# frozen_string_literal: true

# Offer of a client's in Sec-WebSocket-Extensions (RFC 7692), and its possible answers.
class DeflateOffer
  NAME = "permessage-deflate"
  FLAGS = %w[server_no_context_takeover client_no_context_takeover].freeze
  WINDOWS = %w[server_max_window_bits client_max_window_bits].freeze

  # Parameters by their names; one without a value is `true`.
  def self.parse(element)
    name, *parameters = element.split(";").map(&:strip)
    raise "it is not #{NAME}: #{element}" unless name == NAME

    parameters.to_h do |parameter|
      key, value = parameter.split("=", 2)
      [key, value ? Integer(value, 10) : true]
    end
  end

  # Every combination of parameters, with windows of these sizes.
  def self.all(window_bits)
    flags = [nil, true]
    flags.product(flags, [nil, *window_bits], [nil, true, *window_bits])
         .map { |values| new((FLAGS + WINDOWS).zip(values)) }
  end

  attr_reader :parameters, :header

  # Said in the words of `header`, if there is one; the parameters are then those of the offer in it
  # that is to be taken.
  def initialize(parameters = {}, header: nil)
    @parameters = parameters.to_h.compact
    @header = header || [NAME, *words].join("; ")
  end

  # The rules of RFC 7692, and the server's own limits, that an answer to this offer breaks.
  def broken_rules(answer, context_takeover: true, window_bits: 15)
    answered = self.class.parse(answer)
    unknown = answered.keys - FLAGS - WINDOWS
    [
      ("7.1: #{unknown}" if unknown.any?),
      *broken_flags(answered, context_takeover),
      *broken_server_window(answered[WINDOWS.first], window_bits),
      *broken_client_window(answered[WINDOWS.last], window_bits)
    ].compact
  end

  private

  def words = @parameters.map { |name, value| value == true ? name : "#{name}=#{value}" }

  def broken_flags(answered, context_takeover)
    server, client = answered.values_at(*FLAGS)
    [
      ("7.1.1: a value" unless ([server, client] - [nil, true]).empty?),
      ("7.1.1.1: offered, and not answered" if parameters[FLAGS.first] && !server),
      ("the option: contexts are taken over" unless context_takeover || (server && client))
    ]
  end

  def broken_server_window(answered, limit)
    offered = parameters[WINDOWS.first]
    # Some clients take an answer for invalid that names what they have not.
    return [("7.1.2.1: not offered" if answered)] unless offered
    return ["7.1.2.1: offered #{offered.inspect}, not answered"] unless answered
    return ["7.1.2.1: no size"] unless (8..15).cover?(answered)

    [("7.1.2.1, or the option" if answered > [offered, limit].compact.min)]
  end

  # A server without an opinion leaves it out, whatever the client can do.
  def broken_client_window(answered, limit)
    offered = parameters[WINDOWS.last]
    return [("7.1.2.2: not offered" if answered)] unless offered
    return ["7.1.2.2: no size"] unless answered.nil? || (8..15).cover?(answered)

    hint = offered == true ? 15 : offered
    # Offers of a client that compresses with zlib, which can do no less than 9.
    [
      ("7.1.2.2: offered #{hint}" if answered && answered > hint),
      ("the option: not limited" if (answered || 15) > [limit, 9].max)
    ]
  end
end
