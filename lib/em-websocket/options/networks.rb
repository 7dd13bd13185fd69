# frozen_string_literal: true

require "ipaddr"
require_relative "../checks"

module EventMachine
  module WebSocket
    # An option that is a list of networks: `:trusted_proxies`, `:proxy_protocol`. `"unix"` stands
    # for whoever comes by a Unix-domain socket.
    #
    # @api private
    class Networks
      ADVICE = "give an Array of some such as \"10.0.0.0/8\" or \"::1\""
      private_constant :ADVICE

      # Networks that true stands for, where it may be given.
      EVERYWHERE = %w[0.0.0.0/0 ::/0 unix].freeze
      private_constant :EVERYWHERE

      # Name of those who come by a Unix-domain socket.
      UNIX = "unix"

      # @param name [Symbol] of the option
      # @param everywhere [Boolean] whether it may be true: every address
      def initialize(name, everywhere: false)
        @name = name
        @everywhere = everywhere
      end

      # @param option [Array<String, IPAddr>, String, IPAddr, true]
      # @return [Array<String>, nil] each an address and the length of its prefix, or {UNIX}, frozen
      # @raise [ArgumentError] if one is no network, or nobody could connect
      def of(option)
        return if option == 0 # rubocop:disable Style/NumericPredicate -- it may be anything
        return EVERYWHERE if option == true && @everywhere

        networks = (option.is_a?(Array) ? option : [option]).map { |network| network_of(network) }
        return networks.freeze unless networks.empty?
        return unless @everywhere

        raise ArgumentError, "#{@name}: an empty Array lets nobody connect: #{ADVICE}"
      end

      private

      def network_of(network)
        return UNIX if network == UNIX

        address = network.is_a?(IPAddr) ? network : IPAddr.new(String(network))
        "#{address}/#{address.prefix}".freeze
      rescue StandardError
        # It may be anything, and no text.
        raise ArgumentError, "#{@name}: #{Checks.shown(network)} is no address or network: " \
                             "#{ADVICE}"
      end
    end
  end
end
