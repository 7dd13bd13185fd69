# frozen_string_literal: true

require "ipaddr"
require_relative "../checks"

module EventMachine
  module WebSocket
    # An option that is a list of networks: `:trusted_proxies`.
    #
    # @api private
    class Networks
      ADVICE = "give an Array of some such as \"10.0.0.0/8\" or \"::1\""
      private_constant :ADVICE

      # @param name [Symbol] of the option
      def initialize(name)
        @name = name
      end

      # @param option [Array<String, IPAddr>, String, IPAddr]
      # @return [Array<String>, nil] each an address and the length of its prefix, frozen
      # @raise [ArgumentError] if one is no network
      def of(option)
        return if option == 0 # rubocop:disable Style/NumericPredicate -- it may be anything

        networks = (option.is_a?(Array) ? option : [option]).map { |network| network_of(network) }
        networks.empty? ? nil : networks.freeze
      end

      private

      def network_of(network)
        address = network.is_a?(IPAddr) ? network : IPAddr.new(String(network))
        "#{address}/#{address.prefix}".freeze
      rescue IPAddr::Error, TypeError
        raise ArgumentError, "#{@name}: #{Checks.shown(network)} is no address or network: " \
                             "#{ADVICE}"
      end
    end
  end
end
